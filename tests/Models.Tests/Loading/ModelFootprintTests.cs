using Ndif.Models.Loading;
using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Loading;

/// <summary>The footprint of a model before loading equals that of the loaded model.</summary>
public sealed class ModelFootprintTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(null, false)]
    [InlineData(ScalarType.BFloat16, false)]
    [InlineData(null, true)]
    [InlineData(ScalarType.BFloat16, true)]
    public void ItsBytes_AreThoseOfTheLoadedModel(ScalarType? dtype, bool eightBit)
    {
        foreach (string config in (string[])[TinyModel.GPT2(), TinyModel.GPT2(more: """, "tie_word_embeddings": false"""),
            TinyModel.Llama()])
        {
            TinyModel.Write(_folder, config);
            var options = new LoadOptions { DType = dtype, EightBit = eightBit };
            ModelFootprint weighed = ModelFootprint.Measure(_folder.Path, null, options, TestContext.Current.CancellationToken);
            using LoadedModel model =
                ModelLoader.Load(_folder.Path, null, options, cancellationToken: TestContext.Current.CancellationToken);
            Assert.Equal((long)model.Description.Bytes, weighed.Bytes);
            Assert.Equal(model.Description, weighed.Description);
        }
    }

    [Fact]
    public void WithoutWeights_TheConfigSays()
    {
        _folder.Write("config.json", TinyModel.GPT2(more: """, "torch_dtype": "float16" """));
        ModelFootprint weighed = ModelFootprint.Measure(_folder.Path, null, new LoadOptions(), TestContext.Current.CancellationToken);
        Assert.Equal(((long)weighed.Description.Parameters * 2, DataType.Float16), (weighed.Bytes, weighed.Description.Dtype));
    }

    [Fact]
    public void WeightsThatDoNotFitTheConfig_FailNow_NotAfterALongLoad()
    {
        TinyModel.Write(_folder, TinyModel.GPT2(), change: weights => weights.Remove("transformer.h.1.attn.c_attn.bias"));
        Assert.Equal(ErrorCode.BadCheckpoint,
            Assert.Throws<CheckpointException>(() =>
                ModelFootprint.Measure(_folder.Path, null, new LoadOptions(), TestContext.Current.CancellationToken)).Code);
    }
}
