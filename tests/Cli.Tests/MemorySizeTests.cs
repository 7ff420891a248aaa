using Ndif.Cli.Commands;

namespace Ndif.Cli.Tests;

public sealed class MemorySizeTests
{
    [Theory]
    [InlineData("8GB", 8_000_000_000)]
    [InlineData("8gb", 8_000_000_000)]
    [InlineData("1.5GiB", 1_610_612_736)]
    [InlineData("512 MB", 512_000_000)]
    [InlineData("64K", 64_000)]
    [InlineData("2Ti", 2_199_023_255_552)]
    [InlineData("1000000", 1_000_000)]
    [InlineData("0", 0)]
    public void AnAmount_IsRead(string text, long bytes) => Assert.Equal(bytes, MemorySize.Parse("--memory", text));

    [Theory]
    [InlineData("")]
    [InlineData("plenty")]
    [InlineData("-1GB")]
    [InlineData("8GBs")]
    [InlineData("1e9")]
    [InlineData("999999999999999999TB")]
    [InlineData("NaN")]
    public void AnythingElse_IsRefused_ByName(string text) =>
        Assert.Contains("--memory", Assert.Throws<ArgumentException>(() => MemorySize.Parse("--memory", text)).Message,
            StringComparison.Ordinal);

    [Fact]
    public void Nothing_IsNothing() => Assert.Null(MemorySize.Parse("--memory", null));
}
