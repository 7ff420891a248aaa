using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Ndif.Models;
using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using TorchSharp;

namespace Ndif.Engine.Tests.Local;

/// <summary>
/// A checkpoint of three billion parameters in bfloat16, in shards: it is used where its files are mapped. The test writes 6.4 GB into the
/// folder for temporary files and runs on request only:
/// <c>dotnet run -c Release --project tests/Engine.Tests -- -method *.LargeCheckpointTests.* -explicit only -showLiveOutput</c>
/// </summary>
public sealed class LargeCheckpointTests(ITestOutputHelper output) : IDisposable
{
    private const string Config = """
        { "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256, "hidden_size": 3072,
          "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8,
          "max_position_embeddings": 8192, "torch_dtype": "bfloat16", "tie_word_embeddings": true }
        """;

    private const int LayersPerShard = 7, NewTokens = 8;

    private static readonly int[] _prompt = [1, 306, 4658, 278, 6593, 310, 2834, 338];

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact(Explicit = true)]
    public async Task ThreeBillionParameters_TakeNoMoreMemoryThanTheirBytes()
    {
        long bytes = WriteShards();
        long before = ResidentBytes();
        var model = new LanguageModel(_folder.Path);
        (TimeSpan first, TimeSpan second) = await TimeTwoRunsAsync(model);
        long resident = ResidentBytes() - before;
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{bytes / 1e9:0.00} GB of weights, {resident / 1e9:0.00} GB resident ({(double)resident / bytes:0.000}); load, pass and "
            + $"{NewTokens} tokens {first.TotalSeconds:0.0} s, again {second.TotalSeconds:0.0} s"));
        Assert.InRange(resident, 0, (long)(1.1 * bytes));
    }

    /// <summary>The first run loads the model.</summary>
    private static async Task<(TimeSpan First, TimeSpan Second)> TimeTwoRunsAsync(LanguageModel model)
    {
        TimeSpan first = await GenerateAsync(), second = await GenerateAsync();
        return (first, second);

        async Task<TimeSpan> GenerateAsync()
        {
            long from = Stopwatch.GetTimestamp();
            using Trace t = model.Generate(_prompt, NewTokens, new() { IgnoreEos = true });
            Saved ids = t.Result.Save();
            await t.RunAsync(TestContext.Current.CancellationToken);
            Assert.Equal([1, _prompt.Length + NewTokens], ids.Tensor.Shape.ToArray());
            return Stopwatch.GetElapsedTime(from);
        }
    }

    /// <summary>Random weights, the same in every layer, so that they are written fast; a shard has some layers.</summary>
    /// <returns>The bytes of the weights.</returns>
    private long WriteShards()
    {
        _folder.Write("config.json", Config);
        using var scope = torch.NewDisposeScope();
        using torch.Generator generator = new(1);
        Dictionary<string, torch.Tensor> byShape = [];
        Dictionary<string, string> shards = [];
        long bytes = 0;
        IEnumerable<IGrouping<string, (string Path, Parameter Parameter)>> groups = ArchitectureCatalog
            .Build(ConfigReader.Open(_folder.File("config.json"))).Modules
            .SelectMany(module => module.Parameters.Select(parameter => (Path: module.PathOf(parameter), parameter)))
            .DistinctBy(entry => entry.parameter).GroupBy(entry => ShardOf(entry.Path));
        foreach (var group in groups)
        {
            SafetensorsWriter.Write(_folder.File(group.Key),
                group.Select(entry => KeyValuePair.Create(entry.Path, Weight(entry.Parameter))));
            foreach (var (path, parameter) in group) (shards[path], bytes) = (group.Key, bytes + 2 * parameter.ElementCount);
        }
        _folder.Write("model.safetensors.index.json", JsonSerializer.Serialize(new { weight_map = shards }));
        return bytes;

        torch.Tensor Weight(Parameter parameter)
        {
            string shape = string.Join(',', parameter.Shape);
            if (!byShape.TryGetValue(shape, out torch.Tensor? weight))
                byShape.Add(shape, weight = torch.randn(parameter.Shape, torch.ScalarType.BFloat16, generator: generator) * 0.02);
            return weight;
        }

        static string ShardOf(string path) => path.Split('.') is ["model", "layers", var layer, ..]
            ? $"model-{1 + int.Parse(layer, CultureInfo.InvariantCulture) / LayersPerShard}.safetensors" : "model-0.safetensors";
    }

    /// <summary>The memory of this process that is in RAM, mapped files included.</summary>
    private static long ResidentBytes()
    {
        GC.Collect();
        return 1024 * long.Parse(File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal))
            .Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}
