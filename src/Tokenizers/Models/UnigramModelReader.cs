using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Models;

/// <summary>Reads a unigram model: <c>[["token", score], ...]</c>, the id being the place in the list.</summary>
internal static class UnigramModelReader
{
    public static UnigramModel Read(JsonPart part)
    {
        var vocab = part.Required("vocab");
        var scores = new List<double>();
        var vocabulary = new Vocabulary(0);
        foreach (var entry in vocab.Items())
        {
            if (entry.ValueKind != System.Text.Json.JsonValueKind.Array || entry.Value.GetArrayLength() != 2)
                throw entry.CreateException("a token and its score are expected");
            string token = new JsonPart(entry.Value[0], entry.Path + "[0]").String();
            if (token.Length > Vocabulary.MaxTokenLength) throw entry.CreateException($"the token is longer than {Vocabulary.MaxTokenLength} characters");
            vocabulary.Add(token, scores.Count);
            scores.Add(new JsonPart(entry.Value[1], entry.Path + "[1]").Double());
        }
        int? unknown = part.Optional("unk_id")?.Int(0, int.MaxValue);
        if (unknown >= scores.Count)
            throw part.CreateException($"unk_id is {unknown}, but the vocabulary ends at {scores.Count - 1}");
        return new UnigramModel(vocabulary, [.. scores], unknown, part.Bool("byte_fallback", false), part.Path);
    }
}
