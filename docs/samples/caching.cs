#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Section 5.2 of the walkthrough: save all activations without naming them.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];

using (var t = llm.Trace("The Eiffel Tower is in the city of"))
{
    var cache = t.Cache();
    h[0].Hidden[.., 0] = 0;                                     // a cache holds values after interventions
    await t.RunAsync();
    Console.WriteLine($"{cache.Paths.Count()} modules; layer 0: {cache["model.transformer.h.0"].Output[0].Shape}, zeroed: {((Saved)cache[h[0]].Output[0]).Tensor[0, 0].Norm().Item<float>()}");
}
// prints: 55 modules; layer 0: [1, 8, 128], zeroed: 0

using (var t = llm.Generate("Hello", maxNewTokens: 3))
{
    var cache = t.Cache(modules: h, inputs: true, dtype: DType.BFloat16);
    await t.RunAsync();
    Console.WriteLine($"{cache[h[3]].Count} calls; the last one's output: {cache[h[3]][^1].Output[0].Shape}, input {cache[h[3]][^1].Input.Tensor.Type}");
}
// prints: 3 calls; the last one's output: [1, 1, 128], input BFloat16
