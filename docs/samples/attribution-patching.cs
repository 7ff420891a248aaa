#:project ../../src/Engine/Engine.csproj
#:project ../../src/Plots/Plots.csproj
#:property RunsTorch=true
// Attribution patching (Nanda, 2023; Syed et al., 2023): what would patching a place of the corrupted run do? One backward pass estimates
// it for all places at once, as (clean - corrupted) . gradient. Here the estimate is compared with true patching, place by place.
using System.Globalization;
using Ndif;

const string Clean = "When Mary and John went to the store, John gave a drink to";
const string Corrupt = "When Mary and John went to the store, Mary gave a drink to";
var llm = new LanguageModel("ndif/tiny-landmarks");
var ids = llm.Tokenizer.Encode(Clean);
int mary = llm.Tokenizer.Encode(" Mary")[0], john = llm.Tokenizer.Encode(" John")[0], positions = ids.Count;

Value LogitDifference() => llm.LmHead.Output[0, ^1, mary] - llm.LmHead.Output[0, ^1, john];

// Three passes for all estimates; one more batch for each layer for the truth. All of it is one job.
var estimates = new Saved[llm.Layers.Count];
var truth = new Saved[llm.Layers.Count, positions];
Saved corrupted;
using (var session = llm.Session())
{
    Value[] clean, hidden;
    using (llm.Trace(Clean)) clean = [.. llm.Layers.Select(layer => layer.Attn.Output[0].Clone())];
    using (var t = llm.Trace(Corrupt, grad: true))
    {
        hidden = [.. llm.Layers.Select(layer => layer.Attn.Output[0])];
        var difference = LogitDifference();
        corrupted = difference.Save();
        t.Backward(difference, () =>
        {
            for (int layer = hidden.Length - 1; layer >= 0; layer--)        // a backward pass comes to the last layer first
                estimates[layer] = ((clean[layer] - hidden[layer]) * hidden[layer].Grad).Sum(-1)[0].Save();
        });
    }
    for (int layer = 0; layer < llm.Layers.Count; layer++)
    {
        using var t = llm.Trace();
        for (int position = 0; position < positions; position++)
        {
            using (t.Invoke(Corrupt))
            {
                llm.Layers[layer].Attn.Output[0][.., position] = clean[layer][.., position];
                truth[layer, position] = LogitDifference().Save();
            }
        }
    }
    await session.RunAsync();
}

var pairs = from layer in Enumerable.Range(0, llm.Layers.Count)
            from position in Enumerable.Range(0, positions)
            select (layer, position, Estimate: estimates[layer].ToArray<float>()[position], Truth: truth[layer, position].Item<float>()
                - corrupted.Item<float>());
var all = pairs.ToList();
var (strongest, guessed) = (all.MaxBy(p => p.Truth), all.MaxBy(p => p.Estimate));
Console.WriteLine(
    $"true patching: layer {strongest.layer}, position {strongest.position} ('{llm.Tokenizer.Decode([ids[strongest.position]])}')");
Console.WriteLine(
    $"attribution patching: layer {guessed.layer}, position {guessed.position} ('{llm.Tokenizer.Decode([ids[guessed.position]])}')");
double mx = all.Average(p => p.Estimate), my = all.Average(p => p.Truth);
double correlation = all.Sum(p => (p.Estimate - mx) * (p.Truth - my))
    / Math.Sqrt(all.Sum(p => Math.Pow(p.Estimate - mx, 2)) * all.Sum(p => Math.Pow(p.Truth - my, 2)));
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"correlation over {all.Count} places: {correlation:0.00}"));
// prints: true patching: layer 0, position 13 (' to')
// prints: attribution patching: layer 0, position 13 (' to')
// prints: correlation over 56 places: 1.00

string path = Path.Combine(args.Length > 0 ? args[0] : Path.GetTempPath(), "attribution-patching.html");
Plots.HeatMap(estimates, llm.Tokenizer.BatchDecode(ids), title: "Attribution patching", valueName: "estimate").Save(path);
Console.WriteLine($"heat map: {path}");
