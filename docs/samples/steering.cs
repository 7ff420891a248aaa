#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Steering (Turner et al., 2023): a direction between two thoughts, added to a layer at every step of a generation.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
const int Layer = 1;
const string Prompt = "The Eiffel Tower is in the city of";

// The direction: what a layer holds at the end of a prompt about Rome, less what it holds for one about Paris.
string[] thoughts = ["Vatican is in the city of", "The Louvre is in the city of"];
var (rome, paris) = await llm.TraceAsync(thoughts, _ =>
    (llm.Layers[Layer].Hidden[0, ^1].Save(), llm.Layers[Layer].Hidden[1, ^1].Save()));
TensorData direction = rome.Tensor - paris.Tensor;

float[] strengths = [0, 0.5f, 1, 2];
foreach (float strength in strengths)
{
    using var t = llm.Generate(Prompt, maxNewTokens: 2);
    foreach (int step in t.Iter[..]) llm.Layers[Layer].Steer(direction, strength);
    var ids = t.Result.Save();
    await t.RunAsync();
    Console.WriteLine(FormattableString.Invariant($"strength {strength}: {llm.Tokenizer.Decode(ids)}"));
}
// prints: strength 0: The Eiffel Tower is in the city of Paris.
// prints: strength 1: The Eiffel Tower is in the city of Rome.

static class Interventions
{
    /// <summary>An intervention of one's own is a C# method: it is inlined where it is used.</summary>
    public static void Steer(this Envoy layer, TensorData direction, double strength) => layer.Hidden += strength * (Value)direction;
}
