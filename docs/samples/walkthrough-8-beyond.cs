#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Beyond the walkthrough: conditions on values, questions to the client, heads, training, modules of one's own.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];
const string Eiffel = "The Eiffel Tower is in the city of";

// A condition on a value; a C# helper is simply inlined; a question to the client in the middle of the run
using (var t = llm.Trace(Eiffel))
{
    var direction = TensorData.Randn([128], seed: 1);
    var score = h[1].Hidden[0, ^1].MatMul(direction);
    t.If(score > 0, () => h[2].Steer(direction, 4)).Else(() => t.Log("below", score));
    h[3].Hidden = t.Local(x => { Console.WriteLine($"here is layer 3: {x.Shape[1]} tokens"); return x; }, h[3].Hidden);
    var logits = llm.LmHead.Output.Save();
    await t.RunAsync();
    Console.WriteLine(logits.Shape);
}
// prints: here is layer 3: 8 tokens
// prints: [1, 8, 1422]

// One head of an attention: a view is the user's own name for another form of a site
using (var t = llm.Trace(Eiffel))
{
    h[1].Attn.OutputHeads[.., 3] = 0;
    var left = h[1].Attn.OutputHeads.Value.Norm(dim: [2, 3]).Save();
    await t.RunAsync();
    Console.WriteLine($"norms by head {left.Shape}, head 3: {left.Tensor[0, 3].Item<float>()}");
}
// prints: norms by head [1, 4], head 3: 0

// Training where the model is: parameters, optimizer, loop
using (var s = llm.Session())
{
    var a = s.Parameter(TensorData.Randn([128, 4], seed: 1) * 0.02f);
    var b = s.Parameter(TensorData.Zeros([4, 128]));
    var adam = s.AdamW([a, b], lr: 3e-3);
    var losses = s.List();
    s.ForEach(Enumerable.Range(0, 20), step =>
    {
        using var t = llm.Trace(Eiffel, grad: true);
        h[2].Hidden += h[2].Hidden.MatMul(a).MatMul(b);
        var loss = Op.CrossEntropy(llm.LmHead.Output[0, ^1..], llm.Tokenizer.Encode(" Rome"));
        losses.Append(loss.Detach());
        t.Backward(loss);
        adam.Step();
        adam.ZeroGrad();
    });
    var (trainedA, trainedB, curve) = (a.Save(), b.Save(), losses.Save());
    await s.RunAsync();
    float first = ((Saved)curve[0]).Item<float>(), last = ((Saved)curve[^1]).Item<float>();
    Console.WriteLine($"{((object?[])curve.Result!).Length} steps; the loss fell: {last < first / 2}");

    var next = await llm.TraceAsync(Eiffel, t =>
    {
        h[2].Hidden += h[2].Hidden.MatMul(trainedA.Tensor).MatMul(trainedB.Tensor);
        return llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
    });
    Console.WriteLine($"The Eiffel Tower is in the city of{llm.Tokenizer.Decode(next)}");
}
// prints: 20 steps; the loss fell: True
// prints: The Eiffel Tower is in the city of Rome

// A module of the user's own, with sites, attached to the tree
var sae = h[2]
    .Attach("sae", new SparseAutoencoder(TensorData.Randn([128, 512], seed: 2) * 0.1, TensorData.Randn([512, 128], seed: 3) * 0.1));
using (var t = llm.Trace("Hello"))
{
    h[2].Hidden = sae.Call(h[2].Hidden);
    var features = sae["encoder"].Output.Save();
    var active = (sae["relu"].Output > 0).Sum().Save();
    await t.RunAsync();
    Console.WriteLine($"features {features.Shape}, some of them active: {active.Item<long>() is > 0 and < 512}");
}
// prints: features [1, 1, 512], some of them active: True

sealed class SparseAutoencoder(TensorData encoder, TensorData decoder) : ModuleDefinition
{
    readonly Layer _encoder = Linear("encoder", encoder), _relu = Step("relu", x => x.Relu()), _decoder = Linear("decoder", decoder);
    protected override Value Forward(Value x) => _decoder.Call(_relu.Call(_encoder.Call(x)));
}

static class Interventions
{
    extension(Envoy layer)
    {
        public void Steer(TensorData direction, double strength) => layer.Hidden += strength * (Value)direction;

        /// [batch, heads, seq, headDim]
        public View OutputHeads => layer.View(x => x.SplitHeads(4), x => x.JoinHeads());
    }
}
