#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using Ndif;
using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

// a BERT that tells three classes of texts apart, with random weights; one's own folder, or an id on the hub, is used in the same way
string folder = Directory.CreateTempSubdirectory("bert").FullName;
File.WriteAllText(Path.Combine(folder, "config.json"), """
    { "architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": 60, "hidden_size": 16,
      "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 32,
      "id2label": { "0": "negative", "1": "neutral", "2": "positive" } }
    """);
SequenceModel model = new(folder);
torch.random.manual_seed(1);
SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), (
    from path in model.Description.Root.Paths()
    from parameter in model.Description.Root.Find(path)!.Parameters
    select KeyValuePair.Create($"{path}.{parameter.Name}", torch.randn([.. parameter.Shape]) * 0.3)).ToDictionary());

int[][] texts = [[2, 11, 12, 13, 14, 3], [2, 21, 3]]; // token ids, because this checkpoint has no tokenizer; rows are padded on the right
using (Trace t = model.Trace(texts))
{
    Saved first = model.Layers[^1].Hidden[.., 0].Save(); // the token at the beginning of each row, [CLS]
    Saved logits = model.Logits.Save();
    await t.RunAsync();
    Console.WriteLine($"{model.ModelTask}: hidden {Shape(first)}, logits {Shape(logits)}");
    Console.WriteLine($"classes: {string.Join(", ", model.Labels)}");
}

// the gradient of one class's score with respect to a layer, and an edit of it: the same verbs as for a language model
using (Trace t = model.Trace(texts, grad: true))
{
    Value hidden = model.Layers[0].Hidden;
    Saved? gradient = null;
    t.Backward(model.Logits[.., 2].Sum(), () => gradient = hidden.Grad.Save());
    await t.RunAsync();
    Console.WriteLine($"gradient {Shape(gradient!)}");
}

// a pair of texts as token types; with a tokenizer: model.Trace(("the first text", "the second text"))
TokenInput pair = new(TensorData.FromArray([2L, 11, 3, 12, 3], 1, 5), TokenTypeIds: TensorData.FromArray([0L, 0, 0, 1, 1], 1, 5));
TokenInput single = pair with { TokenTypeIds = null };
TensorData[] scores = [.. await Task.WhenAll(new[] { pair, single }.Select(async input =>
    (await model.TraceAsync(input, t => model.Logits.Save())).Tensor))];
Console.WriteLine($"types of tokens count: {scores[0].MaxAbsDifference(scores[1]) > 1e-3}");
Directory.Delete(folder, recursive: true);

static string Shape(Saved saved) => $"[{string.Join(", ", saved.Tensor.Shape.ToArray())}]";
// prints: SequenceClassification: hidden [2, 16], logits [2, 3]
// prints: classes: negative, neutral, positive
// prints: gradient [2, 6, 16]
// prints: types of tokens count: True
