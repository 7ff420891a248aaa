using System.Text;
using Ndif.Models.Config;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Layers;

public sealed class ActivationTests
{
    // the values are the formulas of transformers/activations.py, computed in double precision
    [Theory]
    [InlineData("gelu", "GELUActivation", 1.4, 1.28694)]
    [InlineData("gelu_new", "NewGELUActivation", 1.4, 1.28671)]
    [InlineData("gelu_pytorch_tanh", "GELUTanh", 1.4, 1.28671)]
    [InlineData("gelu_fast", "FastGELUActivation", 1.4, 1.28671)]
    [InlineData("quick_gelu", "QuickGELUActivation", 1.4, 1.28171)]
    [InlineData("silu", "SiLUActivation", 1.4, 1.12310)]
    [InlineData("relu", "ReLU", -1.4, 0.0)]
    [InlineData("relu2", "ReLUSquaredActivation", 1.4, 1.96)]
    public void Activation_HasHuggingFacesNameAndValue(string name, string className, double input, double expected)
    {
        using var scope = NewDisposeScope();
        ConfigReader config = ConfigReader.Parse(Encoding.UTF8.GetBytes($$"""{ "act": "{{name}}" }"""), "config.json");
        Activation activation = Activation.Read(config, "act", "relu");
        Assert.Equal(className, activation.ClassName);
        Assert.Equal(expected, activation.Call(tensor((float)input)).item<float>(), 4);
    }

    [Theory]
    [InlineData("gelu")]
    [InlineData("gelu_new")]
    [InlineData("gelu_10")]
    [InlineData("quick_gelu")]
    [InlineData("silu")]
    [InlineData("relu")]
    [InlineData("relu2")]
    [InlineData("relu6")]
    [InlineData("sigmoid")]
    [InlineData("tanh")]
    [InlineData("leaky_relu")]
    [InlineData("hardswish")]
    [InlineData("mish")]
    public void Activation_KnowsItsShape_WithoutNumbers(string name)
    {
        using var scope = NewDisposeScope();
        ConfigReader config = ConfigReader.Parse(Encoding.UTF8.GetBytes($$"""{ "act": "{{name}}" }"""), "config.json");
        Assert.Equal([2, 3], Activation.Read(config, "act", "relu").Call(zeros([2, 3], ScalarType.Float32, META)).shape);
    }

    [Fact]
    public void UnknownActivation_IsNamed() => Assert.Contains("`swoosh`", Assert.Throws<CheckpointException>(() =>
        Activation.Read(ConfigReader.Parse("""{ "act": "swoosh" }"""u8.ToArray(), "config.json"), "act", "relu")).Message,
        StringComparison.Ordinal);
}
