using System.Globalization;
using Ndif.Models.Files;
using Ndif.Models.Layers;
using Ndif.Models.Loading;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Loading;

/// <summary>Models in bfloat16, float16 and eight bits, compared with Hugging Face's float32 outputs.</summary>
public sealed class LowPrecisionWeightsTests(ITestOutputHelper output) : IDisposable
{
    /// <summary>The modules whose output Hugging Face's code computes in float32 and does not round.</summary>
    /// <remarks>
    /// MixtralTopKRouter in transformers/models/mixtral/modeling_mixtral.py: the chosen experts' weights; Qwen's routers round them.
    /// </remarks>
    private static readonly string[] _alwaysFloat32 =
    [
        "mixtral model.layers.0.mlp.gate[1]", "mixtral model.layers.1.mlp.gate[1]",
        "olmo2 model.rotary_emb[0]", "olmo2 model.rotary_emb[1]",
    ];

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Goldens => SharedFolder.Golden is { } golden
        ? [.. Directory.EnumerateDirectories(golden).Where(d => File.Exists(Path.Combine(d, "golden.safetensors")))
            .Select(d => Path.GetFileName(d)).Order(StringComparer.Ordinal)] : [""];

    [Theory]
    [MemberData(nameof(Goldens))]
    public void HalfPrecision_AgreesWithFloat32_WithinItsRounding(string name)
    {
        string folder = Golden(name);
        foreach (var (type, tolerance) in new[] { (ScalarType.BFloat16, 0.35), (ScalarType.Float16, 0.05) })
        {
            using var scope = NewDisposeScope();
            using LoadedModel model = ModelLoader.Load(folder, type, cancellationToken: TestContext.Current.CancellationToken);
            Assert.All(model.Modules.SelectMany(m => m.Parameters), p => Assert.Equal(type, p.Value.dtype));
            Assert.Equal(type, Compare(model, folder, tolerance, $"{name} {type}"));
        }
    }

    [Theory]
    [MemberData(nameof(Goldens))]
    public void Sites_HaveTheTypesThatHuggingFaceGivesThem(string name)
    {
        string folder = Golden(name);
        using LoadedModel model = ModelLoader.Load(folder, ScalarType.BFloat16, cancellationToken: TestContext.Current.CancellationToken);
        TypeRecorder recorder = new();
        var everywhere = new SiteHook?[model.Modules.Count];
        Array.Fill(everywhere, recorder);
        using (NewDisposeScope())
        using (no_grad())
        using (SiteHook.Register(everywhere))
            TinyModel.Logits(model, Ids(folder));
        string[] wide = [.. recorder.Types.Where(t => t.Value != ScalarType.BFloat16).Select(t => $"{name} {t.Key}")];
        Assert.Equal(_alwaysFloat32.Where(site => site.StartsWith(name + " ", StringComparison.Ordinal)), wide);
        Assert.True(recorder.Types.Count > 20);
    }

    [Theory]
    [MemberData(nameof(Goldens))]
    public void EightBits_AgreeWithFloat32_AndTakeAQuarter(string name)
    {
        string folder = Golden(name);
        using var scope = NewDisposeScope();
        using LoadedModel model = Load(folder, new LoadOptions { EightBit = true });
        Assert.Equal(ScalarType.Float32, Compare(model, folder, 0.6, $"{name} int8"));
        Parameter[] narrow = [.. model.Modules.SelectMany(m => m.Parameters).Distinct().Where(p => p.IsEightBit)];
        Assert.NotEmpty(narrow);
        long wide = narrow.Sum(p => p.Shape.Aggregate(1L, (product, size) => product * size) * 4);
        Assert.InRange(narrow.Sum(p => p.Bytes), wide / 4, wide * 0.32); // one scale for each 64 weights adds 6 %
        Assert.Equal(model.Modules.SelectMany(m => m.Parameters).Distinct().Sum(p => p.Bytes), (long)model.Description.Bytes);
        Assert.All(model.Modules.Where(m => m is Embedding or RMSNorm or LayerNorm).SelectMany(m => m.Parameters),
            p => Assert.False(p.IsEightBit));
    }

    [Fact]
    public void EightBitWeight_IsWithinHalfAStep_OfEachOutputsOwnScale()
    {
        // one output feature is far larger than the others
        TinyModel.Write(_folder, TinyModel.GPT2(), change: weights => weights["transformer.h.0.mlp.c_fc.weight"][.., 5] *= 1000);
        using LoadedModel exact = TinyModel.Load(_folder.Path), narrow = Load(_folder.Path, new LoadOptions { EightBit = true });
        using var scope = NewDisposeScope();
        int compared = 0;
        foreach (var (a, b) in exact.Modules.Zip(narrow.Modules).Where(m => m.Second.Parameters.Any(p => p.IsEightBit)))
        {
            Tensor weight = a.Parameters[0].Value;                                                      // [inFeatures, outFeatures]
            Tensor step = weight.abs().amax([0], keepdim: true) / 127;                                  // [1, outFeatures]
            Assert.True(((weight - b.Parameters[0].Value).abs() <= step * 0.501).all().item<bool>(), a.Path);
            compared++;
        }
        Assert.Equal(8, compared); // four in each of two layers
    }

    [Fact]
    public void EightBits_AndAnAdapter_AreMergedFirst()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        using TempFolder adapter = new();
        AdapterFiles.Write(adapter, ["model.layers.0.mlp.up_proj"], rank: 2, _ => (24, 16));
        using LoadedModel exact = Load(_folder.Path, new LoadOptions { Adapter = adapter.Path });
        using LoadedModel narrow =
            Load(_folder.Path, new LoadOptions { Adapter = adapter.Path, EightBit = true, DType = ScalarType.BFloat16 });
        using var scope = NewDisposeScope();
        Tensor weight = exact.Module("model.layers.0.mlp.up_proj")!.Parameters[0].Value,
            read = narrow.Module("model.layers.0.mlp.up_proj")!.Parameters[0].Value;
        Assert.Equal(ScalarType.BFloat16, read.dtype);
        Assert.InRange(TinyModel.Difference(weight, read), 1e-6, weight.abs().max().item<float>() / 80);
    }

    [Theory]
    [InlineData(ScalarType.BFloat16, false, 0.5)]
    [InlineData(ScalarType.Float32, true, 0.27)]
    public void Loading_NeverHoldsTwoCopies(ScalarType type, bool eightBit, double part)
    {
        if (!File.Exists("/proc/self/statm")) Assert.Skip("Linux tells what memory a process has");
        TinyModel.Write(_folder, TinyModel.GPT2(heads: 8, layers: 6, hiddenSize: 640));
        long size = new FileInfo(_folder.File("model.safetensors")).Length, largest = 4L * 640 * 2560;
        LoadOptions options = new() { DType = type, EightBit = eightBit };
        using (TempFolder small = new()) // the first load also allocates memory for code
        {
            TinyModel.Write(small, TinyModel.GPT2());
            Load(small.Path, options).Dispose();
        }
        NativeHeap.Trim();
        GC.Collect();
        long before = Resident(), worst = long.MinValue;
        Reports reports = new((done, _) => worst = Math.Max(worst, Resident() - before - (long)(done * part)));
        using LoadedModel model = ModelLoader.Load(_folder.Path, null, options, reports, TestContext.Current.CancellationToken);
        output.WriteLine($"{size / 1e6:0} MB of weights; at most {worst / 1e6:0.0} MB more than what was ready");
        Assert.InRange(worst, long.MinValue, 3 * largest + (16 << 20)); // the weight in progress, and freed memory that the heap keeps
        Assert.True(3 * largest + (16 << 20) < size * (1 - part) + size * part / 2); // otherwise the bound would not exclude a second copy

        static long Resident() => long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[1], CultureInfo.InvariantCulture)
            * Environment.SystemPageSize;
    }

    [Theory]
    [InlineData("GPT2LMHeadModel")]
    [InlineData("LlamaForCausalLM")]
    public void Shards_InHalfPrecision_GiveTheSameAsOneFile(string architecture)
    {
        TinyModel.Write(_folder, architecture == "GPT2LMHeadModel" ? TinyModel.GPT2() : TinyModel.Llama());
        using TempFolder sharded = new();
        sharded.Write("config.json", File.ReadAllText(_folder.File("config.json")));
        using (NewDisposeScope())
        using (SafetensorsFile whole = SafetensorsFile.Open(_folder.File("model.safetensors")))
        {
            string[] names = [.. whole.Entries.Keys];
            for (int part = 0; part < 3; part++)
                SafetensorsWriter.Write(sharded.File($"model-{part}.safetensors"),
                    names.Where((_, i) => i % 3 == part)
                    .Select(n => KeyValuePair.Create(n, whole.Read(n).to(ScalarType.Float32, copy: true))));
            sharded.Write("model.safetensors.index.json",
                $"{{\"weight_map\":{{{string.Join(",", names.Select((n, i) => $"\"{n}\":\"model-{i % 3}.safetensors\""))}}}}}");
        }
        using LoadedModel one = TinyModel.Load(_folder.Path, ScalarType.BFloat16),
            three = TinyModel.Load(sharded.Path, ScalarType.BFloat16);
        using var scope = NewDisposeScope();
        Tensor ids = TinyModel.Ids(2, 7, 3);
        Assert.True(TinyModel.Logits(one, ids).Equals(TinyModel.Logits(three, ids)));
    }

    private static LoadedModel Load(string folder, LoadOptions options) =>
        ModelLoader.Load(folder, null, options, cancellationToken: TestContext.Current.CancellationToken);

    /// <summary>
    /// Asserts that the logits are near the reference, and that the most likely tokens are equal unless the reference is nearly a tie.
    /// </summary>
    /// <returns>The element type of the logits.</returns>
    private ScalarType Compare(LoadedModel model, string folder, double tolerance, string label)
    {
        using var nothing = no_grad();
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        using Tensor reference = golden.Read("logits");                                         // [1, seq, vocab]
        Tensor logits = TinyModel.Logits(model, Ids(folder));
        Tensor wide = logits.to(ScalarType.Float32);
        // if the scores of a router are nearly equal, rounding selects other experts and the token differs; most tokens do not
        Tensor rows = (reference - wide).abs().amax([2]).view(-1);                              // [seq]
        double difference = (model.Modules.Any(m => m is Experts) ? rows.median() : rows.max()).item<float>();
        (Tensor best, _) = reference.topk(2, -1);                                               // [1, seq, 2]
        Tensor clear = (best.select(-1, 0) - best.select(-1, 1)) > tolerance / 2;               // [1, seq]
        long decided = clear.sum().item<long>();
        Tensor same = reference.argmax(-1) == wide.argmax(-1);                                  // [1, seq]
        output.WriteLine(
            $"{label}: logits {difference:0.0000} off, {same.sum().item<long>()} of {same.numel()} the same, {decided} decided");
        Assert.InRange(difference, 1e-7, tolerance);
        Assert.True((same | ~clear | (rows > tolerance)).all().item<bool>());
        Assert.True(same.sum().item<long>() * 4 >= same.numel() * 3);
        return logits.dtype;
    }

    private static Tensor Ids(string folder)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        return golden.Read("input_ids");
    }

    private static string Golden(string name)
    {
        if (name.Length == 0) Assert.Skip("the folder of reference outputs is not here");
        return Path.Combine(SharedFolder.Golden!, name);
    }

    /// <summary>The element type of each floating-point tensor that a module returns.</summary>
    private sealed class TypeRecorder : SiteHook
    {
        public Dictionary<string, ScalarType> Types { get; } = [];

        public override object? Call(SiteModule module, Arguments arguments)
        {
            object? result = module.Run(arguments);
            Note(module.Path, result);
            return result;
        }

        private void Note(string path, object? value)
        {
            if (value is Tensor tensor && tensor.is_floating_point()) Types[path] = tensor.dtype;
            else if (value is object?[] tuple)
                for (int i = 0; i < tuple.Length; i++) Note($"{path}[{i}]", tuple[i]);
            else if (value is ModelOutput named)
                foreach (var (name, part) in named.Entries) Note($"{path}.{name}", part);
        }
    }

    private sealed class Reports(Action<long, long> onReport) : IProgress<(string What, long Done, long Total)>
    {
        public void Report((string What, long Done, long Total) value) => onReport(value.Done, value.Total);
    }
}
