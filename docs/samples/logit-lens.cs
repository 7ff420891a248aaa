#:project ../../src/Engine/Engine.csproj
#:project ../../src/Plots/Plots.csproj
#:property RunsTorch=true
// The logit lens (nostalgebraist, 2020): what each layer would predict at each position, by calling the final norm and the head on its
// hidden state. The result is drawn as docs/images/logit-lens.svg: the likeliest next token, and its probability as the colour.
using Ndif;

const string Prompt = "The Eiffel Tower is in the city of";
var llm = new LanguageModel("ndif/tiny-landmarks");
var tokens = llm.Tokenizer.BatchDecode(llm.Tokenizer.Encode(Prompt));

var lens = await llm.TraceAsync(Prompt,
    t => llm.Layers.Select(layer => llm.LmHead.Call(llm.FinalNorm.Call(layer.Hidden))[0].Softmax(-1).TopK(5).Save()).ToList());
for (int layer = 0; layer < lens.Count; layer++)
    Console.WriteLine($"layer {layer}:{llm.Tokenizer.Decode(((Saved)lens[layer][1]).Tensor[^1, 0])}");
// prints: layer 0: Paris
// prints: layer 3: Paris

string path = Path.Combine(args.Length > 0 ? args[0] : Path.GetTempPath(), "logit-lens.svg");
Plots.LogitLens(lens, llm.Tokenizer, tokens).Save(path);
Console.WriteLine($"logit lens: {path}");
