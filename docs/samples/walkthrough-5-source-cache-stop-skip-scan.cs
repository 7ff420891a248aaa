#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Section 5 of the walkthrough: operations inside of modules, caching, stopping, skipping, starting later, shapes without weights.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];

Console.WriteLine(h[0]["attn"].Source);                         // the forward's lines with the names of their operations
// prints: attention_interface_0
using (var t = llm.Trace("Hello"))
{
    var attention = h[0]["attn"].Source["attention_interface_0"].Output[0].Save();
    await t.RunAsync();
    Console.WriteLine($"attention {attention.Shape}");
}
// prints: attention [1, 1, 4, 32]

// All activations, without naming them
using (var t = llm.Trace("The Eiffel Tower is in the city of"))
{
    var cache = t.Cache();                                      // or t.Cache(modules: h, inputs: true, dtype: DType.BFloat16)
    h[0].Hidden[.., 0] = 0;                                     // a cache holds values after interventions
    await t.RunAsync();
    Console.WriteLine(
        $"{cache.Paths.Count()} modules; layer 0: {cache["transformer.h.0"].Output[0].Shape}, zeroed: "
        + $"{((Saved)cache[h[0]].Output[0]).Tensor[0, 0].Norm().Item<float>()}");
}
// prints: 55 modules; layer 0: [1, 8, 128], zeroed: 0
using (var t = llm.Generate("Hello", maxNewTokens: 3))
{
    var cache = t.Cache(modules: h, inputs: true, dtype: DType.BFloat16);
    await t.RunAsync();
    Console.WriteLine(
        $"{cache[h[3]].Count} calls; the last one's output: {cache[h[3]][^1].Output[0].Shape}, input {cache[h[3]][^1].Input.Tensor.Type}");
}
// prints: 3 calls; the last one's output: [1, 1, 128], input BFloat16

using (var t = llm.Trace("Hello"))
{
    var layer0 = h[0].Output[0].Save();
    t.Stop();                                                   // the remaining layers do not run
    await t.RunAsync();
    Console.WriteLine($"stopped after layer 0: {layer0.Shape}");
}
// prints: stopped after layer 0: [1, 1, 128]
using (var t = llm.Trace("Hello"))
{
    h[1].Skip(h[0].Output);
    var output = llm.LmHead.Output.Save();
    await t.RunAsync();
    Console.WriteLine($"skipped: {output.Shape}");
}
// prints: skipped: [1, 1, 1422]

// The counterpart of Stop: a pass that begins at a layer
var hidden = await llm.TraceAsync("Madison Square Garden is located in the city of", t => h[3].Input.Save());
using (var t = llm.Trace("_ _ _ _ _ _ _ _ _"))                 // as many tokens; their embeddings are never computed
{
    t.StartAt(h[3], hidden.Tensor);
    var next = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
    await t.RunAsync();
    Console.WriteLine($"started at layer 3:{llm.Tokenizer.Decode(next)}");
}
// prints: started at layer 3: New

// Shapes, without weights
using (var t = llm.Scan("Hello"))
{
    var dim = h[0].Output[0].Shape[^1].Save();
    var logits = llm.LmHead.Output.Shape.Save();
    await t.RunAsync();
    Console.WriteLine($"hidden dimension {dim.Item<long>()}, logits {logits}");
}
// prints: hidden dimension 128, logits [1, 1, 1422]

// A mistake in shapes is found before anything is loaded or queued
try
{
    using var t = llm.Scan("The Eiffel Tower is in the city of");
    h[1].Hidden = h[1].Hidden.MatMul(TensorData.Zeros([64, 128]));
    await t.RunAsync();
}
catch (ShapeMismatchException e) { Console.WriteLine(e.Message); }
// prints: walkthrough-5-source-cache-stop-skip-scan.cs:
