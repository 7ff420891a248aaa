#:project ../../src/Engine/Engine.csproj
#:project ../../src/Plots/Plots.csproj
#:property RunsTorch=true
// Activation patching (Meng et al., 2022; Wang et al., 2022): which position of which layer carries the answer of
// "When Mary and John went to the store, John gave a drink to"? The clean run's hidden state is put into the corrupted run, one place
// at a time, and the recovered part of the logit difference is drawn as a heat map. One session: every run is one job.
using System.Globalization;
using Ndif;

const string Clean = "When Mary and John went to the store, John gave a drink to";
const string Corrupt = "When Mary and John went to the store, Mary gave a drink to";
var llm = new LanguageModel("ndif/tiny-landmarks");
var tokens = llm.Tokenizer.BatchDecode(llm.Tokenizer.Encode(Corrupt));
int mary = llm.Tokenizer.Encode(" Mary")[0], john = llm.Tokenizer.Encode(" John")[0], layers = llm.Layers.Count, positions = tokens.Count;

Value LogitDifference() => llm.LmHead.Output[0, ^1, mary] - llm.LmHead.Output[0, ^1, john];

var grid = new Saved[layers, positions];
Saved clean, corrupt;
using (var session = llm.Session())
{
    var hidden = new Value[layers];
    using (llm.Trace(Clean))
    {
        for (int layer = 0; layer < layers; layer++) hidden[layer] = llm.Layers[layer].Hidden.Clone();
        clean = LogitDifference().Save();
    }
    using (llm.Trace(Corrupt)) corrupt = LogitDifference().Save();
    for (int layer = 0; layer < layers; layer++)
    {
        using var t = llm.Trace();
        for (int position = 0; position < positions; position++)
        {
            using (t.Invoke(Corrupt))
            {
                llm.Layers[layer].Hidden[.., position] = hidden[layer][.., position];
                grid[layer, position] = LogitDifference().Save();
            }
        }
    }
    await session.RunAsync();
}

double from = corrupt.Item<double>(), to = clean.Item<double>();
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"logit difference: clean {to:0.000}, corrupted {from:0.000}"));
for (int layer = 0; layer < layers; layer++)
    for (int position = 0; position < positions; position++)
    {
        double restored = (grid[layer, position].Item<double>() - from) / (to - from);
        if (restored > 0.5)
            Console.WriteLine(
                string.Create(CultureInfo.InvariantCulture, $"layer {layer}, position {position} ({tokens[position]}): {restored:0.00}"));
    }
// prints: logit difference: clean 9.056, corrupted -5.490
// prints: layer 0, position 13 ( to): 0.98
// prints: layer 3, position 13 ( to): 1.00

string path = Path.Combine(args.Length > 0 ? args[0] : Path.GetTempPath(), "activation-patching.html");
Plots.Patching(grid, tokens, clean, corrupt).Save(path);
Console.WriteLine($"heat map: {path}");
