#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Activation patching (Meng et al., 2022; Wang et al., 2022): which position of which layer carries the answer of
// "When Mary and John went to the store, John gave a drink to"? The clean run's hidden state is put into the corrupted run, one place
// at a time, and the recovered part of the logit difference is drawn as a heat map. One session: every run is one job.
using Ndif;
using System.Globalization;
using System.Text;

const string Clean = "When Mary and John went to the store, John gave a drink to";
const string Corrupt = "When Mary and John went to the store, Mary gave a drink to";
var llm = new LanguageModel("ndif/tiny-landmarks");
var ids = llm.Tokenizer.Encode(Clean);
int mary = llm.Tokenizer.Encode(" Mary")[0], john = llm.Tokenizer.Encode(" John")[0], layers = llm.Layers.Count, positions = ids.Count;

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
// prints: logit difference: clean 9.056, corrupted -5.490
var svg =
    new StringBuilder(
        $"<svg xmlns='http://www.w3.org/2000/svg' width='{40 * positions + 80}' height='{30 * layers + 90}' font-family='sans-serif' "
        + "font-size='11'>");
for (int layer = 0; layer < layers; layer++)
{
    svg.Append(CultureInfo.InvariantCulture, $"<text x='5' y='{30 * layer + 20}'>layer {layer}</text>");
    for (int position = 0; position < positions; position++)
    {
        double restored = (grid[layer, position].Item<double>() - from) / (to - from);
        int shade = (int)(255 * (1 - Math.Clamp(restored, 0, 1)));
        svg.Append(CultureInfo.InvariantCulture,
            $"<rect x='{60 + 40 * position}' y='{30 * layer}' width='40' height='30' "
            + $"fill='rgb({shade},{shade},255)'><title>{restored:0.000}</title></rect>");
        if (restored > 0.5)
            Console.WriteLine(
                string.Create(CultureInfo.InvariantCulture,
                    $"layer {layer}, position {position} ({llm.Tokenizer.Decode([ids[position]])}): {restored:0.00}"));
    }
}
for (int position = 0; position < positions; position++)
    svg.Append(CultureInfo.InvariantCulture,
        $"<text transform='translate({80 + 40 * position},{30 * layers + 10}) rotate(60)'>{llm.Tokenizer.Decode([ids[position]])}</text>");
string path = Path.Combine(Path.GetTempPath(), "activation-patching.svg");
File.WriteAllText(path, svg.Append("</svg>").ToString());
Console.WriteLine($"heat map: {path}");
// prints: layer 0, position 13 ( to): 0.98
// prints: layer 3, position 13 ( to): 1.00
