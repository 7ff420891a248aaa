namespace Ndif.Tokenizers.Tests;

/// <summary>The types of the tokens of a pair of texts, as <c>token_type_ids</c> of transformers.</summary>
public sealed class PairTests
{
    [Theory]
    [InlineData("golden", "wordpiece", 1)]  // [CLS] A [SEP] B [SEP]: 0 0 0 1 1
    [InlineData("golden2", "roberta", 0)]   // <s> A </s></s> B </s>: 0 everywhere
    [InlineData("golden", "gpt2", 1)]       // no special tokens: the second text has type 1
    public void TheSecondText_HasTheTypeOfItsTemplate(string set, string name, int second)
    {
        Assert.SkipWhen(SharedFolder.Find(set, "tokenizers", name) is null, SharedFolder.MissingReason);
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.FromFolder(SharedFolder.Find(set, "tokenizers", name)!);
        (IReadOnlyList<int> ids, IReadOnlyList<int> types) = tokenizer.EncodePair("The Eiffel Tower", "is in Paris");
        Assert.Equal(tokenizer.Encode("The Eiffel Tower", "is in Paris"), ids);
        Assert.Equal(ids.Count, types.Count);
        int first = tokenizer.Encode("The Eiffel Tower").Count;
        Assert.All(types.Take(first), type => Assert.Equal(0, type));
        Assert.Equal(second, types[^1]);
        if (second == 1) Assert.Equal(types.Order(), types); // all of the first text, then all of the second
        else Assert.DoesNotContain(1, types);
    }
}
