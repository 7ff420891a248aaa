using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Ndif.Models.Config;
using Ndif.Models.Files.Packed;
using Ndif.Protocol;
using Ndif.Tokenizers;
using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Files.Gguf;

/// <summary>
/// A model in one GGUF file, or in several that llama.cpp's gguf-split made, as what Hugging Face's files would be: config.json, the files
/// of a tokenizer, and weights under Hugging Face's names.
/// </summary>
internal sealed partial class GgufModel : IDisposable
{
    private readonly List<GgufFile> _files = [];
    private readonly Dictionary<string, (GgufFile File, GgufTensor Tensor)> _tensors = new(StringComparer.Ordinal);
    private GgufMetadata _metadata = null!;
    private GgufArchitecture _architecture = null!;

    private GgufModel() { }

    /// <exception cref="CheckpointException">The file is damaged, or its architecture or the type of a tensor is not known.</exception>
    public static GgufModel Open(string path)
    {
        GgufModel model = new();
        try
        {
            foreach (string part in PartsOf(path)) model.AddFile(part);
            model._metadata = new GgufMetadata(model._files[0].Metadata, path);
            model._architecture = GgufArchitecture.Of(model._metadata);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The GGUF file of a folder that has no other weights: its only one, or the first part of its only model. Null: none.
    /// </summary>
    /// <exception cref="CheckpointException">There are several: which one is meant cannot be known.</exception>
    public static string? FindIn(string folder)
    {
        string[] files = [.. Directory.EnumerateFiles(folder).Where(GgufFile.IsName)
            .Where(file => PartName().Match(file) is not { Success: true } part || int.Parse(part.Groups[2].Value,
                CultureInfo.InvariantCulture) == 1)
            .Order(StringComparer.Ordinal)];
        return files.Length < 2 ? files.FirstOrDefault() : throw Errors.CreateException(ErrorCode.BadCheckpoint,
            $"{folder} has {files.Length} models in GGUF: "
            + $"{string.Join(", ", files.Take(6).Select(file => $"`{Path.GetFileName(file)}`"))}.",
            "Name one of the files instead of the folder.");
    }

    /// <summary>The files of the model that are not weights, by the names that Hugging Face gives them.</summary>
    public IReadOnlyDictionary<string, byte[]> ReadFiles()
    {
        Dictionary<string, byte[]> files = new(StringComparer.Ordinal) { ["config.json"] = ReadConfig() };
        foreach (var (name, content) in GgufTokenizer.CreateFiles(_metadata)) files[name] = content;
        if (_metadata.Integer("tokenizer.ggml.eos_token_id") is { } end)
        {
            // a chat model ends its turn with a token of its own
            long[] ends = [.. new[] { end, _metadata.Integer("tokenizer.ggml.eot_token_id"),
                _metadata.Integer("tokenizer.ggml.eom_token_id") }
                .OfType<long>().Distinct()];
            JsonObject generation = new() { ["eos_token_id"] = new JsonArray([.. ends.Select(id => JsonValue.Create(id))]) };
            if (_metadata.Integer("tokenizer.ggml.bos_token_id") is { } begin) generation["bos_token_id"] = begin;
            files["generation_config.json"] = Encoding.UTF8.GetBytes(generation.ToJsonString());
        }
        return files;
    }

    /// <summary>config.json</summary>
    public byte[] ReadConfig()
    {
        JsonObject config = GgufConfig.Create(_metadata, _architecture, name => _tensors.GetValueOrDefault(name).Tensor?.Shape,
            ReadFactors);
        // exact for all types; a file whose matrices are bfloat16 is computed in that
        bool isBFloat16 = _tensors.Values.Where(t => t.Tensor.Shape.Length > 1).All(t => t.Tensor.Type.Name == "BF16");
        config["torch_dtype"] = isBFloat16 ? "bfloat16" : "float32";
        return Encoding.UTF8.GetBytes(config.ToJsonString()); // without reflection, which file-based programs do not have
    }

    /// <summary>The weights under Hugging Face's names. They are valid until this object is disposed.</summary>
    public Dictionary<string, CheckpointTensor> CreateTensors()
    {
        Dictionary<string, CheckpointTensor> tensors = new(StringComparer.Ordinal);
        foreach (var (name, (file, tensor)) in _tensors)
        {
            if (name is "rope_freqs.weight" or "rope_factors_long.weight" or "rope_factors_short.weight") continue; // in config.json
            if (_architecture.Resolve(name) is not { } found)
            {
                tensors.Add(name, CreateTensor(file, tensor, name, tensor.Shape, 0, new GgufName(name, name)));
                continue;
            }
            if (!found.Path.Contains("{e}", StringComparison.Ordinal))
            {
                string path = $"{found.Path}.{found.Suffix}";
                // the gate of a shared expert is a vector
                long[] shape = found.Name.Gguf == "ffn_gate_inp_shexp" && tensor.Shape is [var size] ? [1, size]
                    : found.Name.IsTransposed && tensor.Shape is [var rows, var columns] ? [columns, rows] : tensor.Shape;
                tensors.Add(path, CreateTensor(file, tensor, path, shape, 0, found.Name));
                continue;
            }
            if (tensor.Shape.Length != 3) throw file.Invalid($"gives `{name}` {tensor.Shape.Length} dimensions, not 3", module: name);
            for (int expert = 0; expert < tensor.Shape[0]; expert++)
            {
                string number = expert.ToString(CultureInfo.InvariantCulture);
                string path = $"{found.Path.Replace("{e}", number, StringComparison.Ordinal)}.{found.Suffix}";
                tensors.Add(path, CreateTensor(file, tensor, path, tensor.Shape[1..], expert * tensor.Shape[1], found.Name));
            }
        }
        return tensors;
    }

    public void ReadAhead()
    {
        foreach (GgufFile file in _files) file.Mapping.ReadAhead();
    }

    public void Dispose()
    {
        foreach (GgufFile file in _files) file.Dispose();
    }

    private void AddFile(string path)
    {
        GgufFile file = GgufFile.Open(path);
        _files.Add(file);
        foreach (var (name, tensor) in file.Tensors)
            if (!_tensors.TryAdd(name, (file, tensor))) throw file.Invalid($"has the tensor `{name}`, and so has another part");
    }

    /// <summary>All parts of a model, given the first: "model-00001-of-00003.gguf".</summary>
    private static string[] PartsOf(string path)
    {
        if (PartName().Match(path) is not { Success: true } match) return [path];
        int count = int.Parse(match.Groups[3].Value, CultureInfo.InvariantCulture);
        string[] parts = [.. Enumerable.Range(1, Math.Min(count, 9999)).Select(part =>
            $"{match.Groups[1].Value}-{part:00000}-of-{count:00000}.gguf")];
        return Array.Find(parts, part => !File.Exists(part)) is not { } missing ? parts
            : throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} is a part of a model, and {missing} is missing.",
                "The download is incomplete: fetch the missing parts.");
    }

    [GeneratedRegex(@"^(.*)-(\d{5})-of-(\d{5})\.gguf\z", RegexOptions.CultureInvariant)]
    private static partial Regex PartName();

    /// <param name="firstRow">The first row of the weight in a stack of several.</param>
    private unsafe CheckpointTensor CreateTensor(GgufFile file, GgufTensor tensor, string name, long[] shape, long firstRow,
        GgufName source)
    {
        // the order of a bias is that of its elements
        long inFeatures = shape.Length == 0 || (shape.Length == 1 && source.Rows != GgufRowOrder.Same) ? 1 : tensor.Shape[^1],
            rows = TensorShape.ElementCount(shape) / Math.Max(1, inFeatures);
        long rowBytes = inFeatures / tensor.Type.BlockElements * tensor.Type.BlockBytes, start = tensor.Offset + firstRow * rowBytes;
        bool isTransposed = source.IsTransposed && shape.Length == 2;
        Func<long, long>? order = RowOrder(file, name, source.Rows, rows);
        void Release() => file.Mapping.ReleasePages(start, rows * rowBytes);
        if (tensor.Type is { Unpack: { } unpack } packed)
        {
            SafetensorsEntry entry = new(name, SafetensorsDType.FindByName("F32")!, shape, start, rows * rowBytes);
            BlockLayout layout = new(rows, checked((int)inFeatures), packed.Code, packed.Granularity, packed.HasOffsets,
                packed.Values ?? []);
            FileMapping mapping = file.Mapping;
            return new PackedTensor(entry, layout, isTransposed, (row, codes, scales, offsets) => unpack(
                new ReadOnlySpan<byte>((byte*)mapping.Start + start + (order?.Invoke(row) ?? row) * rowBytes, checked((int)rowBytes)),
                codes, scales, offsets), Release);
        }
        SafetensorsDType dtype = SafetensorsDType.FindByName(tensor.Type.Plain!)!;
        bool addedOne = _architecture.AddsOneToNorms && name.EndsWith("norm.weight", StringComparison.Ordinal);
        SafetensorsEntry plain = new(name, dtype, shape, start, rows * rowBytes);
        return new GgufPlainTensor(plain, file.Mapping, rows, inFeatures, order, isTransposed, addedOne);
    }

    /// <summary>The row of the file that has a row of Hugging Face's weight; null if they are the same.</summary>
    private Func<long, long>? RowOrder(GgufFile file, string name, GgufRowOrder order, long rows)
    {
        if (order == GgufRowOrder.Same) return null;
        long heads = order == GgufRowOrder.InterleavedKeyHeads
            ? _metadata.Integer(_metadata.Key("attention.head_count_kv")) ?? _metadata.Size("attention.head_count")
                : _metadata.Size("attention.head_count");
        long parts = order == GgufRowOrder.SplitQkv ? 3 : 2;
        if (heads <= 0 || rows % (heads * parts) != 0) throw file.Invalid($"gives `{name}` {rows} rows for {heads} heads", module: name);
        long size = rows / heads, part = size / parts; // the rows of a head, and of a half or of its queries
        if (order == GgufRowOrder.SplitQkv)
            return row => (row % size / part * heads + row / size) * part + row % part; // [heads, 3, headDim] from [3, heads, headDim]
        return row => row / size * size + 2 * (row % part) + row % size / part;         // [2, half] from [half, 2] of each head
    }

    private unsafe double[]? ReadFactors(string name)
    {
        if (!_tensors.TryGetValue(name, out var found)) return null;
        if (found.Tensor.Type.Plain != "F32") throw found.File.Invalid($"has `{name}` as {found.Tensor.Type.Name}, not F32", module: name);
        float* values = (float*)(found.File.Mapping.Start + (nint)found.Tensor.Offset);
        double[] factors = new double[TensorShape.ElementCount(found.Tensor.Shape)];
        for (int i = 0; i < factors.Length; i++) factors[i] = values[i];
        return factors;
    }
}
