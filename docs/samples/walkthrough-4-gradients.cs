#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Section 4 of the walkthrough: gradients.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];

using (var t = llm.Trace("Hello", grad: true))
{
    var hs = h[^1].Output[0].RequiresGrad();
    var loss = llm.LmHead.Output.Sum();
    Saved original = null!, modified = null!;
    t.Backward(loss, () =>
    {
        original = hs.Grad.Clone().Save();
        hs.Grad[..] = 0;
        modified = hs.Grad.Save();
    });
    await t.RunAsync();
    Console.WriteLine(
        $"gradient {original.Shape}, not zero: {original.Tensor.Norm().Item<float>() > 0}; after the edit "
        + $"{modified.Tensor.Norm().Item<float>()}");
}
// prints: gradient [1, 1, 128], not zero: True; after the edit 0

// Which tokens of the prompt does the answer depend on? The gradient of its logit, by token
using (var t = llm.Trace("The Eiffel Tower is in the city of", grad: true))
{
    var embeddings = h[0].Input;
    t.Backward(llm.LmHead.Output[0, ^1, llm.Tokenizer.Encode(" Paris")[0]]);
    var saliency = embeddings.Grad[0].Norm(dim: -1).ArgMax().Save();
    await t.RunAsync();
    int mostSalient = (int)saliency.Item<long>();
    int tokenId = llm.Tokenizer.Encode("The Eiffel Tower is in the city of")[mostSalient];
    Console.WriteLine($"most of all on token {mostSalient}:{llm.Tokenizer.Decode([tokenId])}");
}
// prints: most of all on token

// Gradients are met in reverse order; the message says so
try
{
    using var t = llm.Trace("Hello", grad: true);
    Value early = h[0].Hidden, late = h[2].Hidden;
    t.Backward(llm.LmHead.Output.Sum(), () => { _ = early.Grad.Save(); _ = late.Grad.Save(); });
    await t.RunAsync();
}
catch (OutOfOrderException e) { Console.WriteLine(e.Message); }
// prints: reverse order
