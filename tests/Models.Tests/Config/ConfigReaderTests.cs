using System.Text;
using Ndif.Models.Config;

namespace Ndif.Models.Tests.Config;

public sealed class ConfigReaderTests
{
    private static readonly ConfigReader _config = Parse("""
        { "n": 3, "x": 0.5, "yes": true, "name": "gelu", "ids": [1, 2], "id": 7, "nothing": null, "inner": { "factor": 8 }, "many": ["a"] }
        """);

    [Fact]
    public void Values_HaveTheirTypes_AndDefaults()
    {
        Assert.Equal(3, _config.Size("n"));
        Assert.Equal(0.5, _config.Real("x"));
        Assert.Equal(3.0, _config.Real("n"));
        Assert.True(_config.Flag("yes"));
        Assert.Equal("gelu", _config.Text("name"));
        Assert.Equal([1, 2], _config.Ids("ids"));
        Assert.Equal([7], _config.Ids("id"));
        Assert.Empty(_config.Ids("absent"));
        Assert.Equal(12, _config.Size("nothing", 12));
        Assert.Equal(8.0, _config.Section("inner")!.Real("factor"));
        Assert.Null(_config.Section("absent"));
        Assert.Equal(["a"], _config.Texts("many"));
    }

    [Theory]
    [InlineData("name", "must be a whole number, not \"gelu\"")]
    [InlineData("x", "must be a whole number, not 0.5")]
    [InlineData("inner", "must be a whole number, not an object")]
    [InlineData("n_layers", "has no `n_layers`, which this architecture needs")]
    public void WrongOrMissingValue_NamesKeyAndFile(string key, string what)
    {
        CheckpointException error = Assert.Throws<CheckpointException>(() => _config.Size(key));
        Assert.Contains("folder/config.json", error.Message, StringComparison.Ordinal);
        Assert.Contains($"`{key}`", error.Message, StringComparison.Ordinal);
        Assert.Contains(what, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("")]
    public void NotAnObject_IsRefused(string json) => Assert.Throws<CheckpointException>(() => Parse(json));

    [Fact]
    public void RopeParameters_ReadBothStyles_TheSame()
    {
        RopeParameters old = RopeParameters.Read(Parse("""
            { "rope_theta": 5e5, "rope_scaling": { "type": "linear", "factor": 4.0 }, "partial_rotary_factor": 0.5 }
            """));
        RopeParameters now = RopeParameters.Read(Parse("""
            { "rope_parameters": { "rope_theta": 5e5, "rope_type": "linear", "factor": 4.0, "partial_rotary_factor": 0.5 } }
            """));
        foreach (RopeParameters rope in (RopeParameters[])[old, now])
        {
            Assert.Equal(("linear", 5e5, 0.5), (rope.RopeType, rope.Theta, rope.PartialRotaryFactor));
            Assert.Equal(4.0, rope.Values!.Real("factor"));
        }
        Assert.Equal(("default", 10000.0, 1.0, null), RopeParameters.Read(Parse("{}")) is var plain
            ? (plain.RopeType, plain.Theta, plain.PartialRotaryFactor, plain.Values) : default);
    }

    [Theory]
    [InlineData("""{ "rope_type": "default", "rope_theta": 20000 }""", 5e5)]
    [InlineData("{}", 5e5)]
    [InlineData("null", 5e5)]
    public void RopeScaling_ReplacesRopeParameters(string parameters, double theta)
    {
        RopeParameters rope = RopeParameters.Read(Parse($$"""
            { "rope_theta": 5e5, "rope_parameters": {{parameters}}, "rope_scaling": { "rope_type": "linear", "factor": 4.0 } }
            """));
        Assert.Equal(("linear", theta, 4.0), (rope.RopeType, rope.Theta, rope.Values!.Real("factor")));
    }

    [Fact]
    public void AnEmptyRopeScaling_IsNone()
    {
        RopeParameters rope = RopeParameters.Read(Parse("""
            { "rope_parameters": { "rope_type": "linear", "factor": 4.0, "rope_theta": 20000 }, "rope_scaling": {} }
            """));
        Assert.Equal(("linear", 20000), (rope.RopeType, rope.Theta));
    }

    [Fact]
    public void RopeScaling_IsMergedIntoFullAttention_WhereLayerTypesHaveSections()
    {
        ConfigReader config = Parse("""
            { "rope_parameters": { "full_attention": { "rope_theta": 2e6, "rope_type": "default" },
                                   "sliding_attention": { "rope_theta": 1e4, "rope_type": "default" } },
              "rope_scaling": { "rope_type": "linear", "factor": 8 } }
            """);
        RopeParameters full = RopeParameters.Read(config, "full_attention"), sliding = RopeParameters.Read(config, "sliding_attention");
        Assert.Equal(("linear", 2e6), (full.RopeType, full.Theta));
        Assert.Equal(("default", 1e4), (sliding.RopeType, sliding.Theta));
    }

    [Fact]
    public void RopeParameters_OfOneLayerType_AreItsOwn()
    {
        ConfigReader config = Parse("""
            { "rope_parameters": { "full_attention": { "rope_theta": 1e6, "rope_type": "linear", "factor": 8 },
                                   "sliding_attention": { "rope_theta": 1e4, "rope_type": "default" } } }
            """);
        Assert.Equal(1e6, RopeParameters.Read(config, "full_attention").Theta);
        Assert.Equal("default", RopeParameters.Read(config, "sliding_attention").RopeType);
    }

    private static ConfigReader Parse(string json) => ConfigReader.Parse(Encoding.UTF8.GetBytes(json), "folder/config.json");
}
