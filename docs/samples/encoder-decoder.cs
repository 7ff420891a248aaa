#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using Ndif;
using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

// a T5 with random weights; one's own folder, or an id on the hub, is used in the same way
string folder = Directory.CreateTempSubdirectory("t5").FullName;
File.WriteAllText(Path.Combine(folder, "config.json"), """
    { "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 32,
      "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": false }
    """);
LanguageModel model = new(folder);
torch.random.manual_seed(1);
SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), (
    from path in model.Description.Root.Paths()
    where !path.EndsWith("embed_tokens", StringComparison.Ordinal) // both stacks share the embedding `shared`
    from parameter in model.Description.Root.Find(path)!.Parameters
    select KeyValuePair.Create($"{path}.{parameter.Name}", torch.randn([.. parameter.Shape]) * 0.3)).ToDictionary());

// the encoder reads the prompt once; the decoder begins with its start token and attends to what the encoder wrote
int[] prompt = [5, 6, 7, 8], decoder = [0, 3, 4];
using (Trace t = model.Generate(prompt, maxNewTokens: 3, new() { IgnoreEos = true }))
{
    Saved encoded = model.EncoderLayers[^1].Hidden.Save();
    ValueList attention = t.List();
    Saved patterns = attention.Save();
    foreach (int step in t.Iter[..]) attention.Append(model.Layers[0].CrossAttn.Output[1]); // [batch, heads, 1, encoder's tokens]
    Saved ids = t.Result.Save();
    await t.RunAsync();
    Console.WriteLine($"encoded {Shape(encoded.Tensor)}, cross attention of {Tensors(patterns).Count} steps {Shape(Tensors(patterns)[0])}, "
        + $"ids {Shape(ids.Tensor)}");
}

// an edit of the encoder changes every step of the decoder; a trace gives the decoder its tokens
foreach (bool isEdited in (bool[])[false, true])
{
    using Trace t = model.Trace(prompt, decoderInputIds: decoder);
    if (isEdited) model.Encoder.Output["last_hidden_state"][.., 0] *= 0;
    Saved logits = model.Logits.Save();
    await t.RunAsync();
    Console.WriteLine($"logits {Shape(logits.Tensor)}");
}
Directory.Delete(folder, recursive: true);

static string Shape(TensorData tensor) => $"[{string.Join(", ", tensor.Shape.ToArray())}]";
static IReadOnlyList<TensorData> Tensors(Saved list) => [.. ((IEnumerable<object?>)list.Result!).Cast<TensorData>()];
// prints: encoded [1, 4, 16], cross attention of 3 steps [1, 2, 1, 4], ids [1, 4]
// prints: logits [1, 3, 60]
// prints: logits [1, 3, 60]
