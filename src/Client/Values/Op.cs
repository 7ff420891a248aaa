namespace Ndif;

/// <summary>
/// PyTorch's functions that are not methods of a value: new tensors, joins, layers, losses, random numbers. Names, arguments and
/// defaults are PyTorch's; an argument that is left out is not sent. A call is recorded at its place in the program and computed when the
/// trace runs. All functions but those of this file are generated from the op table (docs/checklists/add-an-op.md).
/// </summary>
public static partial class Op
{
    /// <summary>
    /// <c>cross_entropy</c> with token ids as targets: <c>Op.CrossEntropy(llm.Logits[0, ^1..], llm.Tokenizer.Encode(" Rome"))</c>.
    /// </summary>
    /// <param name="input">The logits. [seq, vocab]</param>
    /// <param name="target">One token id for each row of the input. [seq]</param>
    public static Value CrossEntropy(Value input, IReadOnlyList<int> target) => CrossEntropy(input, (Value)target.ToArray());
}
