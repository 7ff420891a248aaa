#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Ndif;
using Ndif.Models.Files;

// Writes the bundled model as a GGUF file in Q8_0, as llama.cpp's tools would, and loads it: config and tokenizer are in the file.
string source = ModelStore.Find("ndif/tiny-landmarks").Path, path = Path.Combine(Path.GetTempPath(), "landmarks-Q8_0.gguf");
File.WriteAllBytes(path, ToGguf(source));

var llm = new LanguageModel(path); // linear layers stay in eight bits
Saved logits = await llm.TraceAsync("The Eiffel Tower is in the city of", t => llm.LmHead.Output[0, ^1].Save());
Console.WriteLine($"It is{llm.Tokenizer.Decode(logits.Tensor.ArgMax())}");
File.Delete(path);
// prints: It is Paris

static byte[] ToGguf(string folder)
{
    using JsonDocument config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json")));
    using JsonDocument tokenizer = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "tokenizer.json")));
    JsonElement model = tokenizer.RootElement.GetProperty("model");
    string[] tokens = [.. model.GetProperty("vocab").EnumerateObject().OrderBy(token => token.Value.GetInt32()).Select(token =>
        token.Name)];
    string[] merges = [.. model.GetProperty("merges").EnumerateArray().Select(pair => $"{pair[0]} {pair[1]}")];
    (string, object)[] metadata =
    [
        ("general.architecture", "gpt2"), ("gpt2.context_length", Size("n_positions")), ("gpt2.embedding_length", Size("n_embd")),
        ("gpt2.block_count", Size("n_layer")), ("gpt2.attention.head_count", Size("n_head")),
        ("gpt2.feed_forward_length", 4 * Size("n_embd")), ("gpt2.attention.layer_norm_epsilon", 1e-5f),
        ("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "gpt-2"), ("tokenizer.ggml.tokens", tokens),
        ("tokenizer.ggml.merges", merges), ("tokenizer.ggml.bos_token_id", 0), ("tokenizer.ggml.eos_token_id", 0),
    ];
    List<(string Name, int[] Shape, bool IsQuantized, byte[] Data)> tensors = [];
    byte[] file = File.ReadAllBytes(Path.Combine(folder, "model.safetensors"));
    int start = 8 + (int)BitConverter.ToInt64(file);
    foreach (JsonProperty entry in JsonDocument.Parse(file.AsMemory(8, start - 8)).RootElement.EnumerateObject())
    {
        if (entry.Name == "__metadata__") continue;
        int[] shape = [.. entry.Value.GetProperty("shape").EnumerateArray().Select(size => size.GetInt32())];
        int[] range = [.. entry.Value.GetProperty("data_offsets").EnumerateArray().Select(offset => start + offset.GetInt32())];
        float[] values = MemoryMarshal.Cast<byte, float>(file.AsSpan(range[0]..range[1])).ToArray();
        if (shape.Length == 2 && entry.Name.Contains(".h.")) (values, shape) = (Transpose(values, shape[0]), [shape[1], shape[0]]);
        tensors.Add((NameOf(entry.Name), shape, shape.Length == 2,
            shape.Length == 2 ? Quantize(values) : MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
    }

    using MemoryStream stream = new();
    using BinaryWriter writer = new(stream);
    writer.Write("GGUF"u8);
    writer.Write(3);
    writer.Write((long)tensors.Count);
    writer.Write((long)metadata.Length);
    foreach (var (key, value) in metadata)
    {
        Text(key);
        Value(value);
    }
    long offset = 0;
    foreach (var (name, shape, isQuantized, data) in tensors)
    {
        Text(name);
        writer.Write(shape.Length);
        foreach (int size in shape.Reverse()) writer.Write((long)size);
        writer.Write(isQuantized ? 8 : 0); // Q8_0 or F32
        writer.Write(offset);
        offset += (data.Length + 31) / 32 * 32;
    }
    foreach (byte[] data in tensors.Select(tensor => tensor.Data))
    {
        while (stream.Position % 32 != 0) writer.Write((byte)0);
        writer.Write(data);
    }
    return stream.ToArray();

    int Size(string key) => config.RootElement.GetProperty(key).GetInt32();

    void Text(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((long)bytes.Length);
        writer.Write(bytes);
    }

    void Value(object value)
    {
        writer.Write(value switch { int => 4, float => 6, string => 8, _ => 9 });
        if (value is int number) writer.Write(number);
        else if (value is float real) writer.Write(real);
        else if (value is string text) Text(text);
        else if (value is string[] texts)
        {
            writer.Write(8);
            writer.Write((long)texts.Length);
            foreach (string item in texts) Text(item);
        }
    }
}

// "transformer.h.0.attn.c_attn.weight" is "blk.0.attn_qkv.weight"
static string NameOf(string name) => new StringBuilder(name).Replace("transformer.", "").Replace("h.", "blk.")
    .Replace("attn.c_attn", "attn_qkv").Replace("attn.c_proj", "attn_output").Replace("mlp.c_fc", "ffn_up").Replace("mlp.c_proj",
        "ffn_down")
    .Replace("ln_1", "attn_norm").Replace("ln_2", "ffn_norm").Replace("ln_f", "output_norm").Replace("wte", "token_embd")
    .Replace("wpe", "position_embd").ToString();

static float[] Transpose(float[] values, int rows)
{
    int columns = values.Length / rows;
    float[] result = new float[values.Length];
    for (int i = 0; i < values.Length; i++) result[i % columns * rows + i / columns] = values[i];
    return result;
}

// blocks of 32: a scale in float16, and integers
static byte[] Quantize(float[] values)
{
    List<byte> bytes = [];
    foreach (float[] block in values.Chunk(32))
    {
        Half scale = (Half)(block.Max(Math.Abs) / 127);
        bytes.AddRange(BitConverter.GetBytes(scale));
        bytes.AddRange(block.Select(value => (byte)(sbyte)(scale == default ? 0 : MathF.Round(value / (float)scale))));
    }
    return [.. bytes];
}
