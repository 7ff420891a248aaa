using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Architectures;

/// <summary>The inputs of Gemma 3n's and Gemma 4's layers beside the residual stream.</summary>
public sealed class PerLayerInputTests
{
    [Theory]
    [InlineData("gemma3n", "model")]
    [InlineData("gemma4", "model")]
    [InlineData("Gemma3n with images", "model.language_model")]
    [InlineData("Gemma4 with images", "model.language_model")]
    public void ATokenWithoutInputsOfLayers_HasThoseOfTokenZero(string name, string model)
    {
        string config = TinyConfigs.Of(name, 2).Replace(
            $"\"vocab_size_per_layer_input\": {TinyModel.VocabSize}", "\"vocab_size_per_layer_input\": 20", StringComparison.Ordinal);
        Tensor plain = Logits(_ => { }), zero = Logits(table => table[0].mul_(2)), last = Logits(table => table[19].mul_(2));
        Assert.Equal(0, TinyModel.Difference(plain, last));
        Assert.True(TinyModel.Difference(plain[0, 2], zero[0, 2]) > 1e-4);
        Assert.Equal(0, TinyModel.Difference(plain[0, ..2], zero[0, ..2]));

        Tensor Logits(Action<Tensor> change)
        {
            using TempFolder folder = new();
            TinyModel.Write(folder, config, change: weights => change(weights[$"{model}.embed_tokens_per_layer.weight"]));
            using LoadedModel loaded = TinyModel.Load(folder.Path);
            using var nothing = no_grad();
            return TinyModel.Logits(loaded, tensor(new long[,] { { 3, 7, 30 } }));
        }
    }
}
