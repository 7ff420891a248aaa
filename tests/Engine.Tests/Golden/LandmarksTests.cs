using System.Text.Json;
using Ndif.Engine.Tests.Support;
using Ndif.Models.Files;
using TorchSharp;

namespace Ndif.Engine.Tests.Golden;

/// <summary>The programs of the walkthrough on the trained tiny model, compared with the results of transformers and nnsight.</summary>
public sealed class LandmarksTests : IDisposable
{
    private readonly SafetensorsFile? _tensors;
    private readonly JsonElement _expected;
    private readonly LanguageModel _llm = new("", remote: Backend.Local);

    public LandmarksTests()
    {
        if (SharedFolder.Path is null) return;
        string folder = Path.Combine(SharedFolder.Path, "models", "tiny-landmarks");
        if (!Directory.Exists(folder)) return;
        _tensors = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        _expected = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "expected.json"))).RootElement;
        _llm = new LanguageModel(folder, remote: Backend.Local);
    }

    public void Dispose() => _tensors?.Dispose();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private LanguageModel Llm
    {
        get
        {
            Assert.SkipWhen(_tensors is null, "there are no reference outputs here (NDIF_SHARED)");
            return _llm;
        }
    }

    private TensorData Read(string name)
    {
        using torch.Tensor tensor = _tensors!.Read(name);
        return tensor.ToData();
    }

    private string Prompt(string name) => _expected.GetProperty("prompts").GetProperty(name).GetProperty("text").GetString()!;

    private string Word(TensorData logits) => Llm.Tokenizer.Decode([Argmax(logits)]);

    private static int Argmax(TensorData logits)
    {
        float[] all = logits.ToArray<float>();
        return Array.IndexOf(all, all.Max());
    }

    private static readonly string[] _prompts = ["eiffel", "vatican", "msg", "bigben", "eiffel_in", "hello", "ioi_clean", "ioi_corrupt"];

    [Fact]
    public async Task AllPromptsInOnePass_GiveHiddenStatesAndLogits_OfEachAlone()
    {
        LanguageModel llm = Llm;
        using Trace t = llm.Trace();
        Dictionary<string, Saved> saved = [];
        foreach (string name in _prompts)
        {
            using (t.Invoke(Prompt(name)))
            {
                saved[$"{name}.hidden.0"] = llm.Layers[0].Input[0].Save();
                for (int layer = 1; layer < llm.Layers.Count; layer++) saved[$"{name}.hidden.{layer}"] = llm.Layers[layer].Input[0].Save();
                saved[$"{name}.hidden.{llm.Layers.Count}"] = llm.FinalNorm.Output[0].Save();
                saved[$"{name}.logits_last"] = llm.Logits[0, ^1].Save();
            }
        }
        await t.RunAsync(Cancellation);
        foreach (var (name, value) in saved) TensorAssert.Equal(Read(name), value.Tensor, 2e-4);
    }

    [Fact]
    public async Task AllGenerationsTogether_GiveTheTokensOfEachAlone()
    {
        LanguageModel llm = Llm;
        using Trace t = llm.Generate(maxNewTokens: 5);
        Dictionary<string, Saved> saved = [];
        foreach (string name in _prompts)
            using (t.Invoke(Prompt(name))) saved[name] = t.Result.Save();
        await t.RunAsync(Cancellation);
        foreach (string name in _prompts)
        {
            int[] expected =
                [.. _expected.GetProperty("prompts").GetProperty(name).GetProperty("greedy5_ids").EnumerateArray()
                    .Select(i => i.GetInt32())];
            int end = Array.IndexOf(expected, 0);
            if (end >= 0) expected = expected[..(end + 1)]; // the reference continues after the end of the text
            int[] actual = saved[name].ToArray<int>();
            Assert.Equal(expected, actual[^expected.Length..]);
        }
    }

    [Fact]
    public async Task ASkippedLayer_GivesWhatNnsightGives()
    {
        LanguageModel llm = Llm;
        Saved logits = await llm.TraceAsync(Prompt("hello"), _ =>
        {
            llm.Layers[1].Skip(llm.Layers[0].Output);
            return llm.Logits[.., ^1].Save();
        }, cancellationToken: Cancellation);
        TensorAssert.Equal(Read("skip1.logits"), logits.Tensor, 2e-4);
    }

    [Fact]
    public async Task EmbeddingsOfOnePrompt_InAnother_MakeItThatPrompt()
    {
        LanguageModel llm = Llm;
        JsonElement expected = _expected.GetProperty("transfer");
        using Trace t = llm.Trace();
        Barrier barrier = t.Barrier(2);
        Value embedded;
        Saved logits;
        using (t.Invoke(expected.GetProperty("prompt").GetString()!))
        {
            embedded = llm.Embed.Output;
            barrier.Wait();
        }
        using (t.Invoke(expected.GetProperty("dummy").GetString()!))
        {
            barrier.Wait();
            llm.Embed.Output = embedded;
            logits = llm.Logits[0, ^1].Save();
        }
        await t.RunAsync(Cancellation);
        Assert.Equal(expected.GetProperty("next").GetString(), Word(logits.Tensor));
    }

    [Fact]
    public async Task ALayerZeroedAtOneStep_ChangesTheTokensFromThereOn()
    {
        LanguageModel llm = Llm;
        JsonElement expected = _expected.GetProperty("zero_layer0_at_step2");
        foreach (bool zero in (bool[])[false, true])
        {
            using Trace t = llm.Generate(expected.GetProperty("prompt").GetString()!, expected.GetProperty("n").GetInt32());
            ValueList logits = t.List();
            Saved saved = logits.Save();
            foreach (int step in t.Iter[..])
            {
                if (zero && step == 2) llm.Layers[0].Hidden[..] = 0;
                logits.Append(llm.Logits[0, ^1]);
            }
            await t.RunAsync(Cancellation);
            Assert.Equal(expected.GetProperty(zero ? "with_cache" : "plain").EnumerateArray().Select(w => w.GetString()),
                ((object?[])saved.Result!).Select(l => Word((TensorData)l!)));
        }
    }

    [Fact]
    public async Task TheLogitLens_ReadsEachLayer()
    {
        LanguageModel llm = Llm;
        foreach (JsonProperty prompt in _expected.GetProperty("lens").EnumerateObject())
        {
            using Trace t = llm.Trace(Prompt(prompt.Name));
            List<Saved> lens = [llm.LmHead.Call(llm.FinalNorm.Call(llm.Layers[0].Input[0, ^1])).Save()];
            lens.AddRange(llm.Layers.Select(layer => llm.LmHead.Call(llm.FinalNorm.Call(layer.Hidden[0, ^1])).Save()));
            await t.RunAsync(Cancellation);
            Assert.Equal(prompt.Value.EnumerateArray().Select(w => w.GetString()), lens.Select(l => Word(l.Tensor)));
        }
    }

    [Fact]
    public async Task PatchingTheIndirectObject_RestoresTheAnswer_InOnePassForAllPlaces()
    {
        LanguageModel llm = Llm;
        JsonElement ioi = _expected.GetProperty("ioi");
        int mary = ioi.GetProperty("Mary")[0].GetInt32(), john = ioi.GetProperty("John")[0].GetInt32();
        TensorData grid = Read("ioi.patching");
        using Trace t = llm.Trace();
        List<Value> hidden = [];
        using (t.Invoke(Prompt("ioi_clean"))) hidden.AddRange(llm.Layers.Select(layer => layer.Hidden));
        var patched = new Saved[llm.Layers.Count, 14];
        for (int layer = 0; layer < llm.Layers.Count; layer++)
        {
            for (int token = 0; token < 14; token++)
            {
                using (t.Invoke(Prompt("ioi_corrupt")))
                {
                    llm.Layers[layer].Hidden[.., token] = hidden[layer][.., token];
                    patched[layer, token] = (llm.Logits[0, ^1, mary] - llm.Logits[0, ^1, john]).Save();
                }
            }
        }
        await t.RunAsync(Cancellation);
        for (int layer = 0; layer < llm.Layers.Count; layer++)
            for (int token = 0; token < 14; token++)
                Assert.Equal(grid[layer, token].Item<float>(), patched[layer, token].Item<float>(), 2e-4f);
    }
}
