#:project ../../src/Cli/Cli.csproj
#:property RunsTorch=true
#:property PublishAot=false
// LoRA (Hu et al., 2021) trained on a service: parameters, optimizer and loop run where the model is; losses and matrices come back. The
// service is started in this process; usually NDIF_HOST and NDIF_API_KEY say where one is.
using System.Globalization;
using Ndif;

await using var service = await EmbeddedService.StartAsync();
var llm = new LanguageModel("ndif/tiny-landmarks", remote: Backend.At(service.Host, service.Key));
const string Prompt = "The Eiffel Tower is in the city of", Other = "Big Ben is in the city of";
int[] rome = [.. llm.Tokenizer.Encode(" Rome")];
const int Layer = 2, Rank = 4, Width = 128;

using var s = llm.Session();
Value a = s.Parameter(TensorData.Randn([Width, Rank], seed: 1) * 0.02f), b = s.Parameter(TensorData.Zeros([Rank, Width]));
var adam = s.AdamW([a, b], lr: 1e-2);
var losses = s.List();
void Adapt() => llm.Layers[Layer].Mlp.Output += llm.Layers[Layer].Mlp.Input.MatMul(a).MatMul(b);

s.ForEach(Enumerable.Range(0, 30), step =>
{
    using var t = llm.Trace(Prompt, grad: true);
    Adapt();
    var loss = Op.CrossEntropy(llm.Logits[0, ^1..], rome);
    losses.Append(loss.Detach());
    t.Backward(loss);
    adam.Step();
    adam.ZeroGrad();
});

Saved before, after, other;
using (llm.Trace(Prompt)) before = llm.Logits[0, ^1].ArgMax(-1).Save();
using (llm.Trace(Prompt)) { Adapt(); after = llm.Logits[0, ^1].ArgMax(-1).Save(); }
using (llm.Trace(Other)) { Adapt(); other = llm.Logits[0, ^1].ArgMax(-1).Save(); }
var (trainedA, trainedB, curve) = (a.Save(), b.Save(), losses.Save());
await s.RunAsync();

for (int step = 0; step < 30; step += 5)
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {step}: loss {((Saved)curve[step]).Item<float>():0.000}"));
Console.WriteLine($"before:{llm.Tokenizer.Decode(before)}, after:{llm.Tokenizer.Decode(after)}; of Big Ben:{llm.Tokenizer.Decode(other)}");
Console.WriteLine($"the adapter: {trainedA.Shape} {trainedB.Shape}");
// prints: step 0: loss 10.093
// prints: step 25: loss 0.0
// prints: before: Paris, after: Rome
// prints: the adapter: [128, 4] [4, 128]
