using System.Text;

namespace Ndif.Tokenizers.Tests;

/// <summary>
/// Reading an untrusted file must give a tokenizer or an exception with the location of the problem, and must not crash or hang.
/// </summary>
public sealed class HostileFileTests
{
    private const string Model = """ "model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]}""";

    [Theory]
    [InlineData("", "tokenizer.json")]
    [InlineData("{", "tokenizer.json")]
    [InlineData("[]", "tokenizer.json")]
    [InlineData("null", "tokenizer.json")]
    [InlineData("{}", "the field 'model' is missing")]
    [InlineData("""{"modle":{}}""", "did you mean 'modle'?")]
    [InlineData("""{"version":"2.0"}""", "version '2.0' is unknown")]
    [InlineData("""{"model":{"type":"BPF"}}""", "tokenizer.json: model.type: the type 'BPF' is unknown; did you mean 'BPE'?")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}""", "the id of 'a'")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":99999999999},"merges":[]}}""", "the id of 'a'")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":1.5},"merges":[]}}""", "the id of 'a'")]
    [InlineData("""{"model":{"type":"BPE","vocab":[],"merges":[]}}""", "an object of tokens")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"\ud800":1},"merges":[]}}""", "tokenizer.json")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}}""",
        "model.merges[0]: the token 'ab' is not in the vocabulary")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a c"]}}""", "'c' is not in the vocabulary")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}}""", "two tokens with one space")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[7]}}""", "a pair of tokens")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[],"fuse_unk":"yes"}}""",
        "model.fuse_unk: true or false is expected, not a string")]
    [InlineData("""{"model":{"type":"Unigram","vocab":[["a"]]}}""", "model.vocab[0]")]
    [InlineData("""{"model":{"type":"Unigram","unk_id":5,"vocab":[["a",0]]}}""", "unk_id is 5")]
    [InlineData("""{"model":{"type":"Unigram","vocab":[["a",1e999]]}}""", "a number is expected")]
    [InlineData("""{"model":{"type":"WordPiece","vocab":{},"max_input_chars_per_word":2147483647}}""", "from 0 to 10000")]
    [InlineData("""{"normalizer":{"type":"NFE"},"model":{}}""", "normalizer.type: the type 'NFE' is unknown; did you mean")]
    [InlineData("""{"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"},"model":{}}""", "shorter than its header")]
    [InlineData("""{"normalizer":{"type":"Precompiled","precompiled_charsmap":"////fwAA"},"model":{}}""", "says its trie has")]
    [InlineData("""{"normalizer":{"type":"Precompiled","precompiled_charsmap":"*"},"model":{}}""", "base64")]
    [InlineData("""{"pre_tokenizer":{"type":"ByteLevle"},"model":{}}""", "did you mean 'ByteLevel'?")]
    [InlineData(
        """{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}]},"model":{}}""",
        "pre_tokenizer.pretokenizers[0].pattern.Regex: the regular expression cannot be used")]
    [InlineData("""{"pre_tokenizer":{"type":"Split","pattern":{"String":""},"behavior":"Isolated"},"model":{}}""", "an empty pattern")]
    [InlineData("""{"pre_tokenizer":{"type":"Split","pattern":{"String":"a"},"behavior":"isolated"},"model":{}}""",
        "did you mean 'Isolated'?")]
    [InlineData("""{"pre_tokenizer":{"type":"FixedLength","length":0},"model":{}}""", "a whole number from 1")]
    [InlineData("""{"pre_tokenizer":{"type":"Metaspace","replacement":"ab"},"model":{}}""", "a single character")]
    public void BrokenFile_IsRefusedWithThePlaceAndTheReason(string json, string expected)
    {
        var error = Assert.Throws<TokenizerFormatException>(() => HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(json)));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.StartsWith("tokenizer.json", error.Location, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(""" "added_tokens":[{"id":-1,"content":"x"}]""", "added_tokens[0].id")]
    [InlineData(""" "added_tokens":[{"id":1}]""", "the field 'content' is missing")]
    [InlineData(""" "decoder":{"type":"Byte"}""", "decoder.type")]
    [InlineData(
        """ "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}}],"special_tokens":{}}""",
        "'x' is not among")]
    [InlineData(
        """ "post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},{"Sequence":{"id":"A"}}],"special_tokens":{}}""", "more than once")]
    [InlineData(""" "post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}],"special_tokens":{}}""",
        "cannot hold the second")]
    [InlineData(""" "post_processor":{"type":"BertProcessing","sep":["x"],"cls":["y",1]}""", "a token and its id")]
    public void BrokenPartAroundAGoodModel_IsRefused(string part, string expected) =>
        Assert.Contains(expected, Assert.Throws<TokenizerFormatException>(
            () => HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8($"{{{part},{Model}}}"))).Message, StringComparison.Ordinal);

    [Fact]
    public void BrokenConfig_IsNamed() =>
        Assert.StartsWith("tokenizer_config.json: bos_token", Assert.Throws<TokenizerFormatException>(
            () => HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8($"{{{Model}}}"), """{"bos_token":5}"""u8.ToArray())).Message,
            StringComparison.Ordinal);

    [Fact]
    public void FolderWithoutATokenizer_SaysWhatToDo() =>
        Assert.Contains("save_pretrained", Assert.Throws<FileNotFoundException>(
            () => HuggingFaceTokenizer.FromFolder(AppContext.BaseDirectory)).Message, StringComparison.Ordinal);

    [Fact]
    public void DeepNesting_IsRefused()
    {
        string json = string.Concat(Enumerable.Repeat("""{"normalizer":""", 10_000));
        Assert.Throws<TokenizerFormatException>(() => HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(json)));
    }

    [Fact]
    public void ExplodingNormalizer_IsStopped()
    {
        string doubling = string.Join(',', Enumerable.Repeat("""{"type":"Replace","pattern":{"String":"a"},"content":"aa"}""", 60));
        var tokenizer = HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(
            $$$"""{"normalizer":{"type":"Sequence","normalizers":[{{{doubling}}}]},{{{Model}}}}"""));
        Assert.Throws<TokenizerFormatException>(() => tokenizer.Encode("a"));
    }

    [Fact]
    public void ExplodingDecoder_IsStopped()
    {
        string doubling = string.Join(',', Enumerable.Repeat("""{"type":"Replace","pattern":{"String":"a"},"content":"aa"}""", 60));
        var tokenizer = HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(
            $$$"""{"decoder":{"type":"Sequence","decoders":[{{{doubling}}}]},{{{Model}}}}"""));
        Assert.Throws<TokenizerFormatException>(() => tokenizer.Decode(0));
    }

    [Fact]
    public void TooManyStages_AreRefused()
    {
        string many = string.Join(',', Enumerable.Repeat("""{"type":"NFC"}""", 65));
        Assert.Contains("more than 64 stages", Assert.Throws<TokenizerFormatException>(() => HuggingFaceTokenizer.FromJson(
            TestTokenizers.Utf8($$$"""{"normalizer":{"type":"Sequence","normalizers":[{{{many}}}]},{{{Model}}}}"""))).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void SlowRegularExpression_RunsIntoItsTimeOut()
    {
        var tokenizer = HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(
            $$$"""{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+)+(?!a)b"},"behavior":"Isolated"},{{{Model}}}}"""));
        var error = Assert.Throws<TokenizerFormatException>(() => tokenizer.Encode(new string('a', 60)));
        Assert.Contains("took too long", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnyByteChanged_GivesATokenizerOrAFormatError()
    {
        byte[] file = TestTokenizers.Utf8("""
            {"version":"1.0","added_tokens":[{"id":2,"content":"<s>","special":true,"lstrip":true}],
             "normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"String":" "},"content":"_"}]},
             "pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"first"},
             "post_processor":{"type":"TemplateProcessing",
              "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
              "special_tokens":{"<s>":{"id":"<s>","ids":[2],"tokens":["<s>"]}}},
             "decoder":{"type":"Metaspace","replacement":"_"},
             "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":3},"merges":["a b"]}}
            """);
        var random = new Random(11);
        for (int i = 0; i < 3_000; i++)
        {
            byte[] broken = [.. file];
            for (int n = random.Next(1, 4); n > 0; n--)
                broken[random.Next(broken.Length)] = (byte)(random.Next(4) == 0 ? random.Next(256) : file[random.Next(file.Length)]);
            try
            {
                var tokenizer = HuggingFaceTokenizer.FromJson(broken);
                tokenizer.Decode(tokenizer.Encode("ab <s> ba\uD800é"));
            }
            catch (TokenizerFormatException e)
            {
                Assert.NotEmpty(e.Reason);
            }
        }
    }
}
