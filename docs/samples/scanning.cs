#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Section 5.4 of the walkthrough: shapes, without weights.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];

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
// prints: scanning.cs:
