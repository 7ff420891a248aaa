namespace Ndif;

public static partial class Op
{
    /// <summary><c>cross_entropy</c> with token ids as a tokenizer gives them: <c>Op.CrossEntropy(llm.Logits[0, ^1..], llm.Tokenizer.Encode(" Rome"))</c>.</summary>
    /// <param name="input">[seq, vocab]</param>
    /// <param name="target">As many ids as the input has rows.</param>
    public static Value CrossEntropy(Value input, IReadOnlyList<int> target) => CrossEntropy(input, (Value)target.ToArray());
}
