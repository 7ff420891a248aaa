using Ndif.Models.Config;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Layers;

/// <summary>
/// Scalings that depend on the length of a row. Each row uses its own length, independent of the other rows of the batch.
/// </summary>
public sealed class RotaryFrequenciesTests
{
    private const string Dynamic = "\"rope_type\": \"dynamic\", \"factor\": 2.0";
    private const string Long =
        "\"rope_type\": \"longrope\", \"original_max_position_embeddings\": 8, \"short_factor\": [1.0, 1.1, 1.3, 1.5], \"long_factor\": "
        + "[1.0, 2.0, 3.0, 4.0]";

    private static LoadedModel Load(TempFolder folder, string scaling)
    {
        string config = TinyConfigs.Rope(2, scaling);
        if (scaling == Dynamic)
            config = config.Replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 8", StringComparison.Ordinal);
        TinyModel.Write(folder, config, seed: 3);
        return TinyModel.Load(folder.Path);
    }

    [Theory]
    [InlineData(Dynamic)]
    [InlineData(Long)]
    public void AShortRow_BesideALongOne_IsTheRowAlone(string scaling)
    {
        using TempFolder folder = new();
        using LoadedModel model = Load(folder, scaling);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor shorter = TinyModel.Ids(1, 5, 1), longer = TinyModel.Ids(1, 12, 2);                          // [1, seq]
        Tensor ids = cat([cat([zeros([1, 7], ScalarType.Int64), shorter], 1), longer]), mask = ones_like(ids); // [2, 12]
        mask[0, ..7] = 0;
        Tensor together = TinyModel.Logits(model, ids, mask);                                               // [2, 12, vocab]
        Assert.InRange(TinyModel.Difference(TinyModel.Logits(model, shorter)[0], together[0].narrow(0, 7, 5)), 0, 1e-4);
        Assert.InRange(TinyModel.Difference(TinyModel.Logits(model, longer)[0], together[1]), 0, 1e-4);
        // the length has an effect: the first tokens of the long row have different logits without the rest of the row
        Assert.True(TinyModel.Difference(TinyModel.Logits(model, longer.narrow(1, 0, 5))[0], together[1].narrow(0, 0, 5)) > 1e-3);
    }

    /// <summary>
    /// Cached keys keep the frequencies that they were computed with; a new token uses those of the row's current length.
    /// </summary>
    [Theory]
    [InlineData(Dynamic)]
    [InlineData(Long)]
    public void ACachedKey_KeepsItsFrequencies(string scaling)
    {
        using TempFolder folder = new();
        using LoadedModel model = Load(folder, scaling);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Assert.True(model.Root.HasLengthDependentRope);
        Tensor ids = TinyModel.Ids(1, 12, 5), mask = ones_like(ids);                                        // [1, 12]
        using KeyValueCache cache = model.NewCache();
        TinyModel.Logits(model, ids.narrow(1, 0, 7), mask.narrow(1, 0, 7), cache);
        TinyModel.Logits(model, ids.narrow(1, 7, 1), mask.narrow(1, 0, 8), cache);
        Tensor grown = TinyModel.Logits(model, ids.narrow(1, 8, 1), mask.narrow(1, 0, 9), cache)[0];        // [1, vocab]
        Tensor whole = TinyModel.Logits(model, ids.narrow(1, 0, 9))[0].narrow(0, 8, 1);                     // [1, vocab]
        Assert.True(TinyModel.Difference(whole, grown) > 1e-3);

        using KeyValueCache second = model.NewCache();
        TinyModel.Logits(model, ids.narrow(1, 0, 10), mask.narrow(1, 0, 10), second);                       // a long prompt at once
        Tensor last = TinyModel.Logits(model, ids.narrow(1, 10, 1), mask.narrow(1, 0, 11), second)[0];      // [1, vocab]
        double off = TinyModel.Difference(TinyModel.Logits(model, ids.narrow(1, 0, 11))[0].narrow(0, 10, 1), last);
        Assert.True(scaling == Long ? off < 1e-4 : off > 1e-4); // dynamic frequencies change with each token, those of longrope do not
    }

    [Theory]
    [InlineData("\"rope_type\": \"ntk\"", "`rope_type`")]
    [InlineData("\"rope_type\": \"linear\"", "`rope_scaling.factor`")]
    [InlineData("\"rope_type\": \"linear\", \"factor\": 0.0", "`rope_scaling.factor`")]
    [InlineData("\"rope_type\": \"longrope\", \"short_factor\": [1.0], \"long_factor\": [1.0]", "`rope_scaling.short_factor`")]
    [InlineData("\"rope_type\": \"llama3\", \"factor\": 2.0", "`rope_scaling.low_freq_factor`")]
    public void WhatIsNotKnownOrMissing_IsNamed(string scaling, string what)
    {
        ConfigReader config = ConfigReader.Parse(System.Text.Encoding.UTF8.GetBytes(TinyConfigs.Rope(1, scaling)), "config.json");
        Assert.Contains(what, Assert.Throws<CheckpointException>(() => Ndif.Models.Architectures.ArchitectureCatalog.Build(config)).Message,
            StringComparison.Ordinal);
    }
}
