using Ndif.Models.Files;
using Ndif.Models.Loading;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Files;

/// <summary>
/// Checkpoints in other forms than safetensors of floating-point numbers, against the reference outputs of the same models with dequantized
/// weights (shared/golden2/forms).
/// </summary>
public sealed class FormsTests : IDisposable
{
    /// <summary>No test leaves a file mapped.</summary>
    public void Dispose()
    {
        if (SharedFolder.Find("golden2", "forms") is { } folder) Assert.Equal(0, FileMapping.LiveCount(folder));
    }

    private const double Tolerance = 2e-4;

    /// <summary>A folder, the file that is loaded ("" for the folder), and the prefix of the reference's keys.</summary>
    public static TheoryData<string, string, string> Files
    {
        get
        {
            TheoryData<string, string, string> data = [];
            foreach (string form in (string[])["fp8_block_qwen3", "fp8_block_partial", "gptq_llama", "gptq_act_order", "awq_llama",
                "ct_int4_llama", "ct_fp8_llama", "llama_bf16_sharded", "llama_pickle", "gpt2_old_pickle", "mxfp4_gpt_oss"])
                data.Add(form, "", "");
            foreach (string tag in (string[])["F32", "F16", "Q8_0", "Q4_0"]) data.Add("gguf_llama", $"model-{tag}.gguf", tag + "/");
            foreach (string tag in (string[])["F16", "Q8_0", "Q4_0"]) data.Add("gguf_gpt2", $"model-{tag}.gguf", tag + "/");
            foreach (string tag in (string[])["Q4_K_M", "mixed"]) data.Add("gguf_k_quants", $"model-{tag}.gguf", tag + "/");
            return data;
        }
    }

    public static TheoryData<string> Dequantized =>
        ["fp8_block_qwen3", "fp8_block_partial", "gptq_llama", "gptq_act_order", "awq_llama", "ct_int4_llama", "ct_fp8_llama",
            "mxfp4_gpt_oss"];

    [Theory]
    [MemberData(nameof(Files))]
    public void Form_GivesTheReferencesOutputs(string form, string file, string prefix)
    {
        string folder = Folder(form);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        Tensor Read(string name)
        {
            using Tensor stored = golden.Read(name);
            return stored.alias(); // belongs to the scope
        }

        using LoadedModel model = TinyModel.Load(Path.Combine(folder, file), ScalarType.Float32);
        Tensor ids = Read("input_ids"); // [1, seq]
        Tensor logits = Logits(model, ids);
        Assert.InRange((logits - Read(prefix + "logits")).abs().max().item<float>(), 0, Tolerance);

        Tensor expected = Read(prefix + "generate.ids"); // [1, seq + steps]
        while (ids.size(1) < expected.size(1)) ids = cat([ids, Logits(model, ids).select(1, ids.size(1) - 1).argmax(-1, keepdim: true)], 1);
        Assert.Equal(expected.data<long>().ToArray(), ids.data<long>().ToArray());
    }

    [Theory]
    [MemberData(nameof(Dequantized))]
    public void Weights_AreDequantized_BitForBit(string form)
    {
        string folder = Folder(form);
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        using Checkpoint checkpoint = Checkpoint.Open(folder, ModelStore.Find(folder).ReadConfig());
        string[] names = [.. golden.Entries.Keys.Where(name => name.StartsWith("dequantised/", StringComparison.Ordinal))];
        Assert.NotEmpty(names);
        foreach (string name in names)
        {
            using Tensor expected = golden.Read(name), actual = checkpoint.Read(name["dequantised/".Length..]);
            Assert.Equal(expected.shape, actual.shape);
            Assert.Equal(expected.data<float>().ToArray(), actual.data<float>().ToArray());
        }
    }

    /// <summary>What is packed stays packed where a kernel can multiply it, and the bytes are known before.</summary>
    [Theory]
    [InlineData("gptq_llama", "", 14)]
    [InlineData("gptq_act_order", "", 0)] // each input feature has a scale of its own group
    [InlineData("awq_llama", "", 14)]
    [InlineData("ct_int4_llama", "", 14)]
    [InlineData("ct_fp8_llama", "", 14)]
    [InlineData("fp8_block_partial", "", 14)]
    [InlineData("gguf_llama", "model-Q4_0.gguf", 8)] // with the head
    [InlineData("gguf_llama", "model-F16.gguf", 0)]
    [InlineData("gguf_gpt2", "model-Q8_0.gguf", 8)]
    [InlineData("gguf_k_quants", "model-mixed.gguf", 7)]
    public void LinearLayers_ArePackedInMemory(string form, string file, int packed)
    {
        string path = Path.Combine(Folder(form), file);
        foreach (ScalarType? type in new ScalarType?[] { null, ScalarType.BFloat16 })
        {
            LoadOptions options = new() { DType = type };
            using LoadedModel model = ModelLoader.Load(path, null, options,
                cancellationToken: TestContext.Current.CancellationToken);
            Parameter[] parameters = [.. model.Modules.SelectMany(module => module.Parameters).Distinct()];
            Assert.Equal(packed, parameters.Count(parameter => parameter.IsPacked));
            Assert.Equal((long)model.Description.Bytes, ModelFootprint.Measure(path, null, options,
                TestContext.Current.CancellationToken).Bytes);
            Assert.All(parameters.Where(parameter => parameter.IsPacked),
                parameter => Assert.InRange(parameter.Bytes, 1, parameter.ElementCount * 12 / 8));
        }
    }

    /// <summary>The gradient of the activations goes through the dequantized weight.</summary>
    [Fact]
    public void PackedModel_HasGradients()
    {
        using var scope = NewDisposeScope();
        using LoadedModel packed = TinyModel.Load(Path.Combine(Folder("gguf_llama"), "model-Q4_0.gguf"));
        Tensor ids = tensor(new long[] { 5, 9, 300 }).unsqueeze(0); // [1, seq]
        Tensor table = packed.Module("model.embed_tokens")!.Parameters[0].Value;
        table.requires_grad_(true);
        using (enable_grad()) Logits(packed, ids).sum().backward();
        Assert.True(table.grad!.abs().sum().item<float>() > 0);
    }

    private static Tensor Logits(LoadedModel model, Tensor ids) =>
        (Tensor)model.Root.Call(new(ids, ones_like(ids), arange(ids.size(1)).unsqueeze(0), null))["logits"]!; // [1, seq, vocab]

    private static string Folder(string form)
    {
        string? folder = SharedFolder.Find("golden2", "forms", form);
        Assert.SkipWhen(folder is null, SharedFolder.MissingReason);
        return folder;
    }
}
