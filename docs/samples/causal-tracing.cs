#:project ../../src/Engine/Engine.csproj
#:project ../../src/Plots/Plots.csproj
#:property RunsTorch=true
// Causal tracing (Meng et al., 2022): noise on the subject's embeddings makes the model forget; the hidden state of which place, restored,
// brings the answer back? All places of a layer are the invokes of one pass.
using System.Globalization;
using Ndif;

const string Prompt = "The Eiffel Tower is in the city of";
var llm = new LanguageModel("ndif/tiny-landmarks");
var ids = llm.Tokenizer.Encode(Prompt);
int paris = llm.Tokenizer.Encode(" Paris")[0];

Value Probability() => llm.Logits[0, ^1].Softmax(-1)[paris];

Envoy[] places = [llm.Embed, .. llm.Layers];
var restored = new Saved[places.Length, ids.Count];
Saved clean, corrupted;
using (var session = llm.Session())
{
    Value[] hidden;
    using (llm.Trace(Prompt))
    {
        hidden = [.. places.Select(place => place.Hidden.Clone())];
        clean = Probability().Save();
    }
    Value noise = 3 * Op.Randn([1, 2, 128], seed: 7);           // the same for every run, drawn where the model is
    using (llm.Trace(Prompt))
    {
        llm.Embed.Output[.., 1..3] += noise;                    // ' Eiffel Tower'
        corrupted = Probability().Save();
    }
    for (int place = 0; place < places.Length; place++)
    {
        using var t = llm.Trace();
        for (int position = 0; position < ids.Count; position++)
        {
            using (t.Invoke(Prompt))
            {
                llm.Embed.Output[.., 1..3] += noise;
                places[place].Hidden[.., position] = hidden[place][.., position];
                restored[place, position] = Probability().Save();
            }
        }
    }
    await session.RunAsync();
}

Console.WriteLine(
    string.Create(CultureInfo.InvariantCulture,
        $"p( Paris): clean {clean.Item<float>():0.000}, subject corrupted {corrupted.Item<float>():0.000}"));
Console.WriteLine($"restored   {string.Join(" ", ids.Select(id => llm.Tokenizer.Decode([id]).Trim().PadLeft(6)))}");
for (int place = 0; place < places.Length; place++)
{
    IEnumerable<string> row = Enumerable.Range(0, ids.Count)
        .Select(p => restored[place, p].Item<float>().ToString("0.000", CultureInfo.InvariantCulture).PadLeft(6));
    Console.WriteLine($"{(place == 0 ? "embedding" : $"layer {place - 1}"),-10} {string.Join(" ", row)}");
}
// prints: p( Paris): clean 0.998, subject corrupted 0.000
// prints: embedding   0.000  0.022
// prints: layer 0     0.000  0.000  0.000  0.000  0.000  0.000  0.000  0.998

string path = Path.Combine(args.Length > 0 ? args[0] : Path.GetTempPath(), "causal-tracing.html");
string[] rows = ["embedding", .. Enumerable.Range(0, llm.Layers.Count).Select(layer => $"layer {layer}")];
Plots.Patching(restored, llm.Tokenizer.BatchDecode(ids), clean, corrupted, rows, "Causal tracing").Save(path);
Console.WriteLine($"heat map: {path}");
