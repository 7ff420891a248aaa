using Ndif.Server.Keys;

namespace Ndif.Server.Tests.Keys;

public sealed class ApiKeyTests
{
    [Fact]
    public void NewKey_HasTheDocumentedShape_AndParsesBack()
    {
        for (int i = 0; i < 200; i++)
        {
            ApiKey key = ApiKey.New();
            Assert.Matches("^ndif_[a-z0-9]{8}_[A-Za-z0-9_-]{43}$", key.Reveal());
            Assert.True(ApiKey.TryParse(key.Reveal(), out ApiKey? parsed));
            Assert.Equal((key.Id, key.Hash()), (parsed.Id, parsed.Hash()));
            Assert.True(parsed.Matches(key.Hash()));
        }
    }

    [Fact]
    public void Printed_ShowsNoSecret()
    {
        ApiKey key = ApiKey.New();
        string secret = key.Reveal()[^43..];
        Assert.DoesNotContain(secret, key.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(
            secret, $"{new CreatedKey(new KeyRecord(key.Id, key.Hash(), "x", [], "", [], default), key)}", StringComparison.Ordinal);
    }

    [Fact]
    public void AnythingElse_IsNotAKey()
    {
        string good = ApiKey.New().Reveal();
        string[] bad = ["", "ndif_", good[..^1], good + "A", "NDIF" + good[4..], good[..13] + "-" + good[14..], good[..^1] + "=",
            good[..5] + "ABCDEFGH" + good[13..], " " + good];
        Assert.All(bad, text => Assert.False(ApiKey.TryParse(text, out _), text));
    }
}
