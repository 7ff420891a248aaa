namespace Ndif.Models.Tests.Config;

public sealed class GenerationDefaultsTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TheFile_GoesBeforeTheConfig()
    {
        _folder.Write("generation_config.json", """{ "eos_token_id": [1, 9], "temperature": 0.6, "do_sample": true, "max_new_tokens": 20 }""");
        GenerationDefaults defaults = Read("""{ "eos_token_id": 2, "bos_token_id": 3 }""");
        Assert.Equal([1, 9], defaults.EosIds);
        Assert.Equal(3, defaults.BosId);
        Assert.Null(defaults.PadId);
        Assert.Equal((true, 0.6, 50, 1.0, 1.0, (int?)20),
            (defaults.DoSample, defaults.Temperature, defaults.TopK, defaults.TopP, defaults.RepetitionPenalty, defaults.MaxNewTokens));
    }

    [Fact]
    public void WithoutTheFile_TheConfigSaysWhereTextEnds() => Assert.Equal([2], Read("""{ "eos_token_id": 2 }""").EosIds);

    private GenerationDefaults Read(string config) => GenerationDefaults.Read(_folder.Path, ConfigReader.Open(_folder.Write("config.json", config)));
}
