namespace Ndif.Protocol.Tests;

public sealed class ServerPathsTests
{
    [Theory]
    [InlineData("/data/models/gpt2/config.json is missing.", "config.json is missing.")]
    [InlineData("No space left on device : '/var/lib/ndif/blobs/writing/abc'", "No space left on device : 'abc'")]
    [InlineData("The key file `/root/.local/share/ndif/keys.json` is broken.", "The key file `keys.json` is broken.")]
    [InlineData("(in /srv/x/ and /srv/y)", "(in  and y)")]
    [InlineData("at C:\\data\\models\\a.json", "at a.json")]
    [InlineData("PUT /v1/blobs/{id}", "PUT /v1/blobs/{id}")]
    [InlineData("see https://example.org/a/b", "see https://example.org/a/b")]
    [InlineData("the model `openai-community/gpt2` at refs/pr/1", "the model `openai-community/gpt2` at refs/pr/1")]
    [InlineData("3/4 of 1/2", "3/4 of 1/2")]
    public void OnlyTheLastPart_OfAPathStays(string text, string expected) => Assert.Equal(expected, ServerPaths.Remove(text));
}
