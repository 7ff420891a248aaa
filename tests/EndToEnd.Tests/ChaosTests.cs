using System.Text.Json;

namespace Ndif.EndToEnd.Tests;

public sealed class ChaosTests(ITestOutputHelper output)
{
    [Fact]
    public async Task AShortRunUnderFaults_LosesNothing()
    {
        await using ChildProcess chaos =
            ChildProcess.Start("chaos", BuildOutput.Dotnet,
                [BuildOutput.Chaos, "--jobs", "40", "--faults", "4", "--clients", "2", "--seed", "1", "--json"]);
        int code = await chaos.WaitForExitAsync();
        Assert.True(code == 0, chaos.FormatOutput());
        string line = chaos.Lines[^1];
        output.WriteLine(line);
        JsonElement verdict = JsonDocument.Parse(line).RootElement;
        Assert.Equal((40, 4, 0, 0), (Of("jobs"), Of("faults"), Of("violations"), Of("leaks")));
        Assert.Equal(40, Of("completed") + Of("failed") + Of("cancelled") + Of("lost"));
        Assert.InRange(Of("completed"), 30, 40);

        int Of(string name) => verdict.GetProperty(name).GetInt32();
    }
}
