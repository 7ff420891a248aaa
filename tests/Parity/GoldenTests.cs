using System.Text.Json;
using Ndif.Cli.Parity;

namespace Ndif.Parity.Tests;

public sealed class GoldenTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("llama3")]
    public void Checkpoint_GivesWhatHuggingFaceGives(string name)
    {
        Assert.SkipWhen(SharedFolder.Golden is null, "there are no reference outputs here (NDIF_SHARED)");
        using StringWriter table = new(), errors = new();
        int exit = ParityCommand.Run(Path.Combine(SharedFolder.Golden!, name), json: false, table, errors, null, TestContext.Current.CancellationToken);
        output.WriteLine(table.ToString());
        Assert.Equal("", errors.ToString());
        Assert.True(exit == 0, table.ToString());
    }
}
