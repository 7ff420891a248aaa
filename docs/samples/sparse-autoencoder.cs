#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// A sparse autoencoder (Bricken et al., 2023; Cunningham et al., 2023) on a layer's hidden state: trained where the model is, spliced into
// it, and its features read and switched off.
using System.Globalization;
using Ndif;

const int Layer = 2, Features = 256;
string[] prompts =
    ["The Eiffel Tower is in the city of", "Vatican is in the city of", "Big Ben is in the city of",
        "Madison Square Garden is located in the city of"];
var llm = new LanguageModel("ndif/tiny-landmarks");
Envoy layer = llm.Layers[Layer];

// 1. Train it in a session: reconstruction, and a price on every active feature.
TensorData encoder, bias, decoder;
using (var s = llm.Session())
{
    Value e = s.Parameter(TensorData.Randn([128, Features], seed: 1) * 0.1f), b = s.Parameter(TensorData.Zeros([Features])),
        d = s.Parameter(TensorData.Randn([Features, 128], seed: 2) * 0.1f);
    var adam = s.Adam([e, b, d], lr: 3e-3);
    Value x;
    using (llm.Trace(prompts)) x = layer.Hidden;                // one pass: the activations stay where the model is
    var losses = s.List();
    s.ForEach(Enumerable.Range(0, 400), step =>
    {
        Value features = (x.MatMul(e) + b).Relu();
        Value loss = Op.MseLoss(features.MatMul(d), x) + 3e-4 * features.Sum(-1).Mean();
        losses.Append(loss.Detach());
        s.Backward(loss);
        adam.Step();
        adam.ZeroGrad();
    });
    var (se, sb, sd, curve) = (e.Save(), b.Save(), d.Save(), losses.Save());
    await s.RunAsync();
    (encoder, bias, decoder) = (se, sb, sd);
    Console.WriteLine(
        string.Create(CultureInfo.InvariantCulture,
            $"loss {((Saved)curve[0]).Item<float>():0.000} -> {((Saved)curve[^1]).Item<float>():0.000}"));
}

// 2. Splice it in: an edit of the model, whose sites every later trace sees.
layer.Attach("sae", new SparseAutoencoder(encoder, bias, decoder));
var spliced = llm.Edit(() => layer.Hidden = layer["sae"].Call(layer.Hidden));
Console.WriteLine(spliced.Layers[Layer]["sae"]);

foreach (string prompt in prompts)
{
    using var t = spliced.Trace(prompt);
    var features = spliced.Layers[Layer]["sae"]["relu"].Output[0, ^1].Save();
    var next = spliced.Logits[0, ^1].ArgMax(-1).Save();
    await t.RunAsync();
    float[] active = features.ToArray<float>();
    Console.WriteLine(
        $"{prompt} ->{llm.Tokenizer.Decode(next)} ({active.Count(f => f > 0.01f)} of {Features} features, strongest "
        + $"{Array.IndexOf(active, active.Max())})");
}

// 3. Put one prompt's features in the place of another's, at the last position.
using (var t = spliced.Trace())
{
    Value bigBen; Saved next;
    using (t.Invoke(prompts[2])) bigBen = spliced.Layers[Layer]["sae"]["relu"].Output[0, ^1];
    using (t.Invoke(prompts[0]))
    {
        spliced.Layers[Layer]["sae"]["relu"].Output[0, ^1] = bigBen;
        next = spliced.Logits[0, ^1].ArgMax(-1).Save();
    }
    await t.RunAsync();
    Console.WriteLine($"the Eiffel Tower with Big Ben's features:{llm.Tokenizer.Decode(next)}");
}
// prints: loss 31.594 -> 0.0
// prints: (encoder): Linear(in_features=128, out_features=256, bias=True)
// prints: Vatican is in the city of -> Rome
// prints: Big Ben is in the city of -> London
// prints: the Eiffel Tower with Big Ben's features: London

sealed class SparseAutoencoder(TensorData encoder, TensorData bias, TensorData decoder) : ModuleDefinition
{
    readonly Layer _encoder = Linear("encoder", encoder, bias), _relu = Step("relu", x => x.Relu()), _decoder = Linear("decoder", decoder);

    protected override Value Forward(Value x) => _decoder.Call(_relu.Call(_encoder.Call(x)));
}
