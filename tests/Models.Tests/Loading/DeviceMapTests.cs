using Ndif.Models.Loading;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Loading;

/// <summary>
/// A machine without GPUs has one real device. The meta device serves as the second one: an operation fails if an argument is on another
/// device.
/// </summary>
public sealed class DeviceMapTests : IDisposable
{
    private readonly TempFolder _folder = new();

    /// <remarks>
    /// Llama 4 with images embeds the ids in its root, and a base model is the root: a root cannot run here. An encoder-decoder has no
    /// base model that runs alone.
    /// </remarks>
    public static TheoryData<string> Models => [.. TinyConfigs.Names.Where(name => name is not ("Llama4 with images" or "t5" or "t5 gated"
        or "mt5" or "bart") && !name.EndsWith("Model", StringComparison.Ordinal))];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Models))]
    public void ALaterLayerOnAnotherDevice_GetsAllThatItNeedsThere(string name)
    {
        TinyModel.Write(_folder, TinyConfigs.Of(name, 2));
        string first, second;
        Dictionary<string, Device> map;
        using (LoadedModel whole = TinyModel.Load(_folder.Path))
        {
            (first, second) = ($"{whole.Root.Names.Layers}.0", $"{whole.Root.Names.Layers}.1");
            List<SiteModule> parts = [.. DeviceMap.Over(CPU).Assign(whole.Root).Select(p => p.Part)];
            int last = parts.FindIndex(p => p.Path == first); // parts up to this one and parts without weights are on the first device
            // OPT has its final norm and project_out before the layers; Gemma 3n, Gemma 4 and DeBERTa have what layers read besides the
            // stream after them
            map = parts.ToDictionary(p => p.Path, p => p.Path == whole.Root.Names.FinalNorm || p.Name == "project_out" ? META
                : p.Path.Contains("per_layer_", StringComparison.Ordinal) || p.Name == "embed_tokens_per_layer"
                    || p.Path.Contains(".altup_projections.", StringComparison.Ordinal)
                    || p.Path is "deberta.encoder.rel_embeddings" or "deberta.encoder.LayerNorm"
                    ? CPU
                : parts.IndexOf(p) <= last || (p.Parameters.Count == 0 && p.Children.Count == 0) ? CPU : META);
        }
        using LoadedModel model = Load(DeviceMap.Of(map));
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using KeyValueCache cache = model.NewCache();
        var outputs = new DeviceRecorder();
        var everywhere = new SiteHook?[model.Modules.Count];
        Array.Fill(everywhere, outputs);
        foreach (int tokens in (int[])[4, 1])
        {
            Tensor ids = TinyModel.Ids(2, tokens, 3), mask = ones([2, cache.Length + tokens], ScalarType.Int64);
            Tensor positions = arange(cache.Length, cache.Length + tokens).unsqueeze(0).expand(2, tokens);
            using (SiteHook.Register(everywhere))
                // not the root, because values cannot be copied back from the meta device
                model.Root.Children.First(child => child.Path == model.Root.BaseModelPrefix)
                    .Run(new Arguments([],
                        [new("input_ids", ids), new("attention_mask", mask), new("position_ids", positions),
                            new("past_key_values", cache)]));
            Assert.Equal(TorchSharp.DeviceType.CPU, outputs.Seen[first]);
            Assert.Equal(TorchSharp.DeviceType.META, outputs.Seen[second]);
        }
    }

    [Fact]
    public void LayersAreSpreadInOrder_AndWhatStandsBeforeThemStaysTogether()
    {
        TinyModel.Write(_folder, TinyModel.GPT2(layers: 6));
        DeviceMap map = DeviceMap.Parse("cuda:0, cuda:1, cuda:2");
        using LoadedModel model = TinyModel.Load(_folder.Path);
        var placed = map.Assign(model.Root);
        Assert.Equal(
            ["transformer.wte", "transformer.wpe", "transformer.drop", .. Enumerable.Range(0, 6).Select(i => $"transformer.h.{i}"),
                "transformer.ln_f", "lm_head"],
            placed.Select(p => p.Part.Path));
        Assert.Equal([0, 0, 0], placed.Take(3).Select(p => p.Device.index));
        int[] layers = [.. placed.Skip(3).Take(6).Select(p => p.Device.index)];
        Assert.Equal(layers.Order(), layers);
        Assert.Equal([0, 1, 2], layers.Distinct());
        Assert.Equal(2, placed[^2].Device.index);
        Assert.Equal(0, placed[^1].Device.index); // the head has the weight of the embedding
    }

    [Fact]
    public void SeveralPlacesOnOneDevice_ChangeNoNumber_ForThoseWhoWatchOrNot()
    {
        TinyModel.Write(_folder, TinyModel.Llama(layers: 3));
        using LoadedModel plain = TinyModel.Load(_folder.Path), spread = Load(DeviceMap.Parse("cpu,cpu"));
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor ids = TinyModel.Ids(2, 5, 1);
        Tensor expected = TinyModel.Logits(plain, ids);
        Assert.True(expected.Equals(TinyModel.Logits(spread, ids)));
        var everywhere = new SiteHook?[spread.Modules.Count];
        DeviceRecorder all = new();
        Array.Fill(everywhere, all);
        using (SiteHook.Register(everywhere)) Assert.True(expected.Equals(TinyModel.Logits(spread, ids)));
        Assert.Contains("", all.Seen);
        Assert.Contains("model.layers.2", all.Seen);
    }

    [Theory]
    [InlineData("cpu,nowhere:x", "`nowhere:x` is no device")]
    [InlineData("", "`` is no device")]
    public void WhatIsNoDevice_IsRefused(string text, string says) =>
        Assert.Contains(says, Assert.ThrowsAny<NdifException>(() => DeviceMap.Parse(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void AMapOfOtherPaths_IsRefused()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        NdifException wrong =
            Assert.ThrowsAny<NdifException>(() =>
                Load(DeviceMap.Of(new Dictionary<string, Device> { [""] = CPU, ["model.layer.1"] = CPU })));
        Assert.Equal(ErrorCode.BadArgument, wrong.Code);
        Assert.Contains("`model.layer.1`", wrong.Message, StringComparison.Ordinal);
        NdifException partial =
            Assert.ThrowsAny<NdifException>(() => Load(DeviceMap.Of(new Dictionary<string, Device> { ["model.layers"] = CPU })));
        Assert.Contains("says nothing of `model.embed_tokens`", partial.Message, StringComparison.Ordinal);
    }

    private LoadedModel Load(DeviceMap map) =>
        ModelLoader.Load(_folder.Path, null, new LoadOptions { DeviceMap = map }, cancellationToken: TestContext.Current.CancellationToken);

    private sealed class DeviceRecorder : SiteHook
    {
        public Dictionary<string, TorchSharp.DeviceType> Seen { get; } = [];

        public override object? Call(SiteModule module, Arguments arguments)
        {
            object? result = module.Run(arguments);
            object? first = result switch { ModelOutput output => output.Entries[0].Value, object?[] tuple => tuple[0], _ => result };
            if (first is Tensor tensor) Seen[module.Path] = tensor.device_type;
            return result;
        }
    }
}
