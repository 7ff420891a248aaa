using System.Text.RegularExpressions;

namespace Ndif.EndToEnd.Tests;

/// <summary>
/// Runs each fuzz target with random mutations for a few seconds. tests/Fuzz/run.sh is guided by coverage and has no time limit.
/// </summary>
public sealed class FuzzTests
{
    [Theory]
    [InlineData("program")]
    [InlineData("run")]
    [InlineData("tensor")]
    [InlineData("name")]
    [InlineData("header")]
    [InlineData("npy")]
    [InlineData("request")]
    [InlineData("gateway")]
    public async Task WhateverIsRead_IsReadOrRefusedWithATypedError_AndTheProcessLives(string target)
    {
        await using ChildProcess fuzz =
            ChildProcess.Start($"fuzz {target}", BuildOutput.Dotnet, [BuildOutput.Fuzz, "random", target, "4", "1"]);
        Assert.True(await fuzz.WaitForExitAsync() == 0, fuzz.FormatOutput());
        string line = Assert.Single(fuzz.Lines, said => said.EndsWith("no finding", StringComparison.Ordinal));
        Assert.True(int.Parse(Regex.Match(line, "[0-9]+").Value, null) > 20, line);
    }
}
