using Ndif.Protocol;

namespace Ndif.Engine.Tests.Local;

/// <summary>The loading options of the client, and their effect on the values of a run.</summary>
public sealed class LoadingTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4, 1, 5];

    private readonly TempFolder _folder = new(), _adapter = new();

    public LoadingTests()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        AdapterFiles.Write(_adapter, ["model.layers.0.mlp.up_proj", "model.layers.1.self_attn.v_proj"], rank: 2,
            m => m.EndsWith("up_proj", StringComparison.Ordinal) ? (24, 16) : (8, 16));
    }

    public void Dispose()
    {
        _folder.Dispose();
        _adapter.Dispose();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Dtype_IsThatOfEverySite_AndOfTheDescription()
    {
        float[] wide = (await LogitsAsync(new(_folder.Path))).ToArray<float>();
        foreach (DType dtype in (DType[])[DType.BFloat16, DType.Float16, DType.Float64])
        {
            var llm = new LanguageModel(_folder.Path, dtype: dtype);
            var (hidden, norm, logits) = await llm.TraceAsync(_prompt, t =>
                (llm.Layers[0].Hidden.Save(), llm.FinalNorm.Output.Save(), llm.Logits.Save()), cancellationToken: Cancel);
            Assert.Equal([dtype, dtype, dtype], [hidden.Tensor.Type, norm.Tensor.Type, logits.Tensor.Type]);
            var again = await llm.TraceAsync(_prompt, t => llm.Logits.To(DType.Float32).Save(), cancellationToken: Cancel);
            Assert.Equal(wide, again.ToArray<float>(), (a, b) => Math.Abs(a - b) < 0.1);
        }
    }

    [Fact]
    public async Task Adapter_ChangesTheModel_AsAdditionsToTheOutputsWould()
    {
        var plain = new LanguageModel(_folder.Path);
        var adapted = new LanguageModel(_folder.Path, adapter: _adapter.Path);
        // x (W + s B A)ᵀ = x Wᵀ + s (x Aᵀ) Bᵀ, computed here by an experiment on the model without the adapter
        using Ndif.Models.Files.SafetensorsFile matrices =
            Ndif.Models.Files.SafetensorsFile.Open(_adapter.File("adapter_model.safetensors"));
        Saved byHand = await plain.TraceAsync(_prompt, t =>
        {
            foreach (string module in (string[])["model.layers.0.mlp.up_proj", "model.layers.1.self_attn.v_proj"])
            {
                using TorchSharp.torch.Tensor a = matrices.Read($"base_model.model.{module}.lora_A.weight"),
                    b = matrices.Read($"base_model.model.{module}.lora_B.weight");
                Value input = plain[module].Input, output = plain[module].Output, down = a.ToData(), up = b.ToData();
                plain[module].Output = output + input.MatMul(down.T()).MatMul(up.T()) * 2;
            }
            return plain.Logits.Save();
        }, cancellationToken: Cancel);
        float[] expected = byHand.ToArray<float>();
        Assert.Equal(expected, (await LogitsAsync(adapted)).ToArray<float>(), (a, b) => Math.Abs(a - b) < 1e-3);
        Assert.NotEqual(expected, (await LogitsAsync(plain)).ToArray<float>(), (a, b) => Math.Abs(a - b) < 1e-3);
    }

    [Fact]
    public async Task EightBits_AreNear_AndTheSameModelWithoutThemIsUntouched()
    {
        float[] exact = (await LogitsAsync(new(_folder.Path))).ToArray<float>(),
            narrow = (await LogitsAsync(new(_folder.Path, eightBit: true))).ToArray<float>();
        Assert.Equal(exact, narrow, (a, b) => Math.Abs(a - b) < 0.3);
        Assert.NotEqual(exact, narrow);
        Assert.Equal(exact, (await LogitsAsync(new(_folder.Path))).ToArray<float>());
    }

    [Fact]
    public async Task Service_RefusesWhatOnlyALocalLoadCanDo()
    {
        Backend nowhere = Backend.At("http://127.0.0.1:9", "key");
        foreach (LanguageModel llm in (LanguageModel[])[new(_folder.Path, adapter: _adapter.Path), new(_folder.Path, dtype: DType.BFloat16),
            new(_folder.Path, eightBit: true)])
        {
            BadProgramException error =
                await Assert.ThrowsAsync<BadProgramException>(() =>
                    llm.TraceAsync(_prompt, t => llm.Logits.Save(), nowhere, cancellationToken: Cancel));
            Assert.Equal(ErrorCode.BadArgument, error.Code);
            Assert.Contains("the service has loaded its own", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task WholeNumbers_AreNoDtypeOfAModel() =>
        Assert.Contains("loaded in a floating-point type, not in Int8",
            (await Assert.ThrowsAsync<BadProgramException>(() => LogitsAsync(new(_folder.Path, dtype: DType.Int8)))).Message,
            StringComparison.Ordinal);

    [Fact]
    public async Task ModelById_IsDownloaded_AndAScanFetchesNoWeights()
    {
        await using FakeHub hub = await FakeHub.StartAsync();
        using TempFolder cache = new();
        Dictionary<string, byte[]> files = Directory.GetFiles(_folder.Path).ToDictionary(f => Path.GetFileName(f), File.ReadAllBytes);
        hub.Add("org/tiny", "0123456789012345678901234567890123456789", files);
        hub.Add("org/lora", "9876543210987654321098765432109876543210",
            Directory.GetFiles(_adapter.Path).ToDictionary(f => Path.GetFileName(f), File.ReadAllBytes));
        Dictionary<string, string?> variables = new()
        {
            ["HF_ENDPOINT"] = hub.Address.ToString(),
            ["HF_HUB_CACHE"] = cache.Path,
            ["HF_HUB_OFFLINE"] = null,
            ["HF_TOKEN"] = null,
        };
        Dictionary<string, string?> before = variables.Keys.ToDictionary(name => name, Environment.GetEnvironmentVariable);
        try
        {
            foreach (var (name, value) in variables) Environment.SetEnvironmentVariable(name, value);
            var llm = new LanguageModel("org/tiny");
            Assert.Contains("LlamaForCausalLM", llm.ToString(), StringComparison.Ordinal);
            using (Trace scan = llm.Scan(_prompt))
            {
                Saved shape = llm.Logits.Shape.Save();
                await scan.RunAsync(Cancel);
            }
            Assert.Empty(hub.Sent(large: true));

            float[] expected = (await LogitsAsync(new(_folder.Path))).ToArray<float>();
            Assert.Equal(expected, (await LogitsAsync(llm)).ToArray<float>());
            Assert.Single(hub.Sent(large: true));
            Assert.Equal((await LogitsAsync(new(_folder.Path, adapter: _adapter.Path))).ToArray<float>(),
                (await LogitsAsync(new("org/tiny", adapter: "org/lora"))).ToArray<float>());
        }
        finally
        {
            foreach (var (name, value) in before) Environment.SetEnvironmentVariable(name, value);
        }
    }

    private static Task<Saved> LogitsAsync(LanguageModel llm) => llm.TraceAsync(_prompt, t => llm.Logits.Save(), cancellationToken: Cancel);
}
