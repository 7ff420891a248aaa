using RustLibrary = Tokenizers.DotNet.Tokenizer;

namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>Hugging Face's Rust library. It adds special tokens to every text, and leaves them out of every decoded text.</summary>
internal sealed class RustTokenizer : IDisposable
{
    private readonly RustLibrary _tokenizer;

    public RustTokenizer(string json)
    {
        string path = Path.Combine(Path.GetTempPath(), $"ndif-{Guid.NewGuid():N}.json");
        File.WriteAllText(path, json);
        try
        {
            _tokenizer = new RustLibrary(path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    public int[] Encode(string text) => [.. _tokenizer.Encode(text).Select(id => (int)id)];

    public string Decode(IEnumerable<int> ids) => _tokenizer.Decode([.. ids.Select(id => (uint)id)]);

    public void Dispose() => _tokenizer.Dispose();
}
