#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Section 2 of the walkthrough: read, edit and replace inside of any TorchSharp module.
using Ndif;
using TorchSharp;
using static TorchSharp.torch;

random.manual_seed(0);
var net = nn.Sequential(("layer1", nn.Linear(5, 10)), ("layer2", nn.Linear(10, 2)));
var model = new NNsight(net);
Console.WriteLine(model);
// prints:   (layer1): Linear(in_features=5, out_features=10, bias=True)
var input = rand(1, 5);

using (var t = model.Trace(input))
{
    var l1 = model["layer1"].Output.Save();
    var l2in = model["layer2"].Input.Save();
    var output = model.Output.Save();
    await t.RunAsync();
    Console.WriteLine($"layer1 {l1.Shape}; the input of layer2 equals it: {l1.Tensor.SameAs(l2in)}; output {output.Shape}");
}
// prints: layer1 [1, 10]; the input of layer2 equals it: True; output [1, 2]

var (maxIdx, total) = await model.TraceAsync(input, t =>
    (model["layer1"].Output.ArgMax(dim: 1).Save(), (model["layer1"].Output.Sum() + model["layer2"].Output.Sum()).Save()));
Console.WriteLine($"max index {maxIdx}, total {total}");
// prints: max index tensor([

using (var t = model.Trace(input))
{
    var layer1 = model["layer1"];
    var before = layer1.Output.Clone().Save();
    layer1.Output[.., 0] = 0;                                   // in place
    var noise = 0.1 * Op.RandnLike(layer1.Output, seed: 7);
    layer1.Output = layer1.Output + noise;                      // replaced downstream
    var after = layer1.Output.Save();
    var seen = model["layer2"].Input.Save();
    await t.RunAsync();
    Console.WriteLine($"changed: {!before.Tensor.SameAs(after)}; layer2 saw the change: {after.Tensor.SameAs(seen)}");
}
// prints: changed: True; layer2 saw the change: True

try
{
    using var t = model.Trace(input);
    model["layer1"].Output[.., 10] = 0;
    await t.RunAsync();
}
catch (IndexOutOfRangeException e) { Console.WriteLine(e.Message); }
// prints: index 10 is out of bounds for dimension 1 with size 10
// prints: at walkthrough-2-intervening.cs:

try
{
    using var t = model.Trace(input);
    _ = model["layer2"].Output.Save();
    _ = model["layer1"].Output.Save();                          // layer1 has already run
    await t.RunAsync();
}
catch (OutOfOrderException e) { Console.WriteLine(e.Message); }
// prints: Value was missed for `layer1.output`

using (var t = model.Trace(input))
{
    t.Log("layer 1:", model["layer1"].Output.Shape);            // printed when computed; remotely as a log event
    t.Inspect(model["layer1"].Output, value => Console.WriteLine($"inspected {value.Shape[1]}"));   // or Debugger.Break(); local runs only
    await t.RunAsync();
}
// prints: layer 1: [1, 10]
// prints: inspected 10
