#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// The logit lens (nostalgebraist, 2020): what each layer would predict at each position, by calling the final norm and the head on its
// hidden state. The result is drawn as docs/images/logit-lens.svg: the likeliest next token, and its probability as the shade.
using System.Globalization;
using System.Net;
using System.Text;
using Ndif;

const string Prompt = "The Eiffel Tower is in the city of";
var llm = new LanguageModel("ndif/tiny-landmarks");

var lens = await llm.TraceAsync(Prompt,
    t => llm.Layers.Select(layer => llm.LmHead.Call(llm.FinalNorm.Call(layer.Hidden))[0].Softmax(-1).TopK(1).Save()).ToList());
string Text(long id) => WebUtility.HtmlEncode(llm.Tokenizer.Decode([(int)id]).Trim());

var ids = llm.Tokenizer.Encode(Prompt);
var svg = new StringBuilder($"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {90 * ids.Count + 70} {34 * lens.Count + 40}' ");
svg.Append("font-family='sans-serif' font-size='13' text-anchor='middle'>\n");
for (int layer = 0; layer < lens.Count; layer++)
{
    int y = 34 * (lens.Count - 1 - layer);                                     // the last layer is on top
    svg.Append(CultureInfo.InvariantCulture, $"<text x='30' y='{y + 21}'>layer {layer}</text>\n");
    float[] probability = ((Saved)lens[layer][0]).Tensor.ToArray<float>();     // [seq, 1]
    long[] token = ((Saved)lens[layer][1]).Tensor.ToArray<long>();             // [seq, 1]
    for (int position = 0; position < ids.Count; position++)
    {
        int shade = (int)(255 * (1 - 0.8 * probability[position]));
        int x = 64 + 90 * position;
        svg.Append(CultureInfo.InvariantCulture, $"<rect x='{x}' y='{y}' width='88' height='32' fill='rgb({shade},{shade},255)'/>");
        svg.Append(CultureInfo.InvariantCulture, $"<text x='{x + 44}' y='{y + 21}'>{Text(token[position])}</text>\n");
    }
    Console.WriteLine($"layer {layer}:{llm.Tokenizer.Decode([(int)token[^1]])}");
}
for (int position = 0; position < ids.Count; position++)
{
    int x = 108 + 90 * position, y = 34 * lens.Count + 22;
    svg.Append(CultureInfo.InvariantCulture, $"<text x='{x}' y='{y}' font-weight='bold'>{Text(ids[position])}</text>\n");
}
string path = Path.Combine(Path.GetTempPath(), "logit-lens.svg");
File.WriteAllText(path, svg.Append("</svg>\n").ToString());
Console.WriteLine($"heat map: {path}");
// prints: layer 0: Paris
// prints: layer 3: Paris
