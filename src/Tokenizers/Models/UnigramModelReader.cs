using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Models;

/// <summary>Reads a unigram model. Its vocabulary is <c>[["token", score], ...]</c>; the id of a token is its index in the list.</summary>
internal static class UnigramModelReader
{
    public static UnigramModel Read(JsonSection section)
    {
        var vocab = section.Required("vocab");
        var scores = new List<double>();
        var vocabulary = new Vocabulary(0);
        foreach (var entry in vocab.Items())
        {
            if (entry.ValueKind != System.Text.Json.JsonValueKind.Array || entry.Value.GetArrayLength() != 2)
                throw entry.CreateException("a token and its score are expected");
            string token = new JsonSection(entry.Value[0], entry.Path + "[0]").String();
            if (token.Length > Vocabulary.MaxTokenLength)
                throw entry.CreateException($"the token is longer than {Vocabulary.MaxTokenLength} characters");
            vocabulary.Add(token, scores.Count);
            scores.Add(new JsonSection(entry.Value[1], entry.Path + "[1]").Double());
        }
        int? unknown = section.Optional("unk_id")?.Int(0, int.MaxValue);
        if (unknown >= scores.Count)
            throw section.CreateException($"unk_id is {unknown}, but the vocabulary ends at {scores.Count - 1}");
        return new UnigramModel(vocabulary, [.. scores], unknown, section.Bool("byte_fallback", false), section.Path);
    }
}
