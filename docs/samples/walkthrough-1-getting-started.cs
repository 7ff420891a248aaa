#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Section 1 of the walkthrough: wrap a model, and find one's way in it.
using Ndif;
using TorchSharp;
using static TorchSharp.torch;

var net = nn.Sequential(("layer1", nn.Linear(5, 10)), ("layer2", nn.Linear(10, 2)));
var model = new NNsight(net);                                   // any TorchSharp module, local only
Console.WriteLine(model);                                       // the tree, as PyTorch prints it
// prints:   (layer2): Linear(in_features=10, out_features=2, bias=True)
var input = rand(1, 5);
Console.WriteLine((await model.ForwardAsync(input)).Shape);     // a plain forward
// prints: [1, 2]

var llm = new LanguageModel("ndif/tiny-landmarks", rename: new() { ["transformer.h"] = ["layers", "blocks"], ["mlp"] = "feed_forward" });
Console.WriteLine(llm);                                         // nothing is loaded for it
// prints:     (layers/blocks/h): ModuleList(
// prints:         (feed_forward/mlp): GPT2MLP(

var h = llm["transformer.h"];                                   // a module list: h[0], h[^1], h[1..3], h.Count, foreach
Console.WriteLine($"{h.Count} layers; the last is {h[^1].Path}, the middle ones {string.Join(", ", h[1..3].Select(layer => layer.Path))}");
// prints: 4 layers; the last is transformer.h.3, the middle ones transformer.h.1, transformer.h.2
// three ways to the same
Console.WriteLine($"{llm["layers"][0]["feed_forward"].Path} {llm.Get("transformer.h.0.mlp").Path} {llm.Layers[0].Mlp.Path}");
// prints: transformer.h.0.mlp transformer.h.0.mlp transformer.h.0.mlp
Console.WriteLine($"{llm.NamedModules().Count()} modules");
// prints: 60 modules
try
{
    _ = llm["transformer.h.0.mpl"];
}
catch (NdifException e) { Console.WriteLine(e.Message); }
// prints: Did you mean `mlp`
