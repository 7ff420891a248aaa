#:project ../../src/Engine/Engine.csproj
#:project ../../src/Dictionaries/Dictionaries.csproj
#:property RunsTorch=true
// Transcoders (Dunefsky et al., 2024) of all feed-forward modules, trained where the model is, and the attribution graph of a prompt
// through their features (Ameisen et al., 2025): as JSON for circuit-tracer's front end, and as a picture.
using System.Globalization;
using Ndif;
using Ndif.Dictionaries;
using Ndif.Dictionaries.Attribution;

const int Size = 128, Features = 96, Steps = 400;
string[] prompts =
    ["The Eiffel Tower is in the city of", "Vatican is in the city of", "Big Ben is in the city of",
        "Madison Square Garden is located in the city of", "When Mary and John went to the store, John gave a drink to"];
var llm = new LanguageModel("ndif/tiny-landmarks");
int layers = llm.Layers.Count;

// 1. Train all transcoders in one job: predict what the module gives from what it reads, with a price on every active feature.
var trained = new Dictionary<string, Saved>[layers];
using (var s = llm.Session())
{
    var weights = Enumerable.Range(0, layers).Select(layer => new Dictionary<string, Value>
    {
        ["W_enc"] = s.Parameter(TensorData.Randn([Size, Features], seed: layer) * 0.1f),
        ["b_enc"] = s.Parameter(TensorData.Zeros([Features])),
        ["W_dec"] = s.Parameter(TensorData.Randn([Features, Size], seed: layer + 10) * 0.1f),
        ["b_dec"] = s.Parameter(TensorData.Zeros([Size])),
    }).ToArray();
    var adam = s.Adam([.. weights.SelectMany(layer => layer.Values)], lr: 3e-3);
    var inputs = new Value[layers];
    var outputs = new Value[layers];
    using (llm.Trace(prompts))
        for (int layer = 0; layer < layers; layer++)
            (inputs[layer], outputs[layer]) = (llm.Layers[layer].Mlp.Input, llm.Layers[layer].Mlp.Output);
    var losses = s.List();
    s.ForEach(Enumerable.Range(0, Steps), step =>
    {
        Value? loss = null;
        for (int layer = 0; layer < layers; layer++)
        {
            var w = weights[layer];
            Value features = (inputs[layer].MatMul(w["W_enc"]) + w["b_enc"]).Relu();
            Value error = features.MatMul(w["W_dec"]) + w["b_dec"] - outputs[layer];
            Value one = (error * error).Mean() + 1e-4 * features.Sum(-1).Mean();
            loss = loss is null ? one : loss + one;
        }
        losses.Append(loss!.Detach());
        s.Backward(loss);
        adam.Step();
        adam.ZeroGrad();
    });
    for (int layer = 0; layer < layers; layer++) trained[layer] = weights[layer].ToDictionary(w => w.Key, w => w.Value.Save());
    var curve = losses.Save();
    await s.RunAsync();
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"loss {((Saved)curve[0]).Item<float>():0.000} -> {((Saved)curve[^1]).Item<float>():0.000}"));
}

// 2. Attach them. Spliced in, with their errors, they change nothing.
var config = new SaeConfig { InputSize = Size, Features = Features, OutputSize = Size, IsTranscoder = true };
AttachedTranscoders transcoders = llm.AttachTranscoders(
    [.. trained.Select(weights => new Sae(config, weights.ToDictionary(w => w.Key, w => w.Value.Tensor)))]);
LanguageModel spliced = transcoders.SpliceInto(llm);
var (active, next) = await spliced.TraceAsync(prompts[0],
    t => (transcoders[2].Features[0, ^1].CountNonZero().Save(), llm.Logits[0, ^1].ArgMax(-1).Save()));
Console.WriteLine(
    $"{active.Item<long>()} of {Features} features of layer 2 are active; the next token is still{llm.Tokenizer.Decode(next)}");

// 3. Which features lead to it?
AttributionGraph graph = await AttributionGraph.ComputeAsync(llm, transcoders, prompts[0], new AttributionOptions { MaxLogits = 3 });
PrunedGraph pruned = graph.Prune(nodeThreshold: 0.7, edgeThreshold: 0.9);
Console.WriteLine($"{graph.Nodes.Count} nodes, pruned to {pruned.Nodes.Count} with {pruned.Edges.Count} edges");
foreach (AttributionEdge edge in pruned.Edges.Where(e => e.Target is { Kind: AttributionNodeKind.Logit, Text: " Paris" })
    .OrderByDescending(e => e.Weight).Take(3))
{
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{edge.Source.Kind} of layer {edge.Source.Layer} "
        + $"at '{graph.Tokens[edge.Source.Position]}': {edge.Weight:+0.00;-0.00} to{edge.Target.Text}"));
}
string folder = Path.Combine(Path.GetTempPath(), "attribution-graph");
pruned.WriteFiles(folder, "eiffel-tower");
string picture = Path.Combine(folder, "eiffel-tower.svg");
File.WriteAllText(picture, pruned.ToSvg());
Console.WriteLine($"graph: {folder}");
// prints: of 96 features of layer 2 are active; the next token is still Paris
// prints: nodes, pruned to
// prints: to Paris
