using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// How a generation chooses its tokens and when it ends. An option that is null has the value of the model's generation_config.json
/// (<see cref="LanguageModel.GenerationDefaults"/>), and where that file does not set it, the default given here, which is Hugging Face's.
/// </summary>
/// <example><code>using var t = llm.Generate(prompt, maxNewTokens: 5, new() { Temperature = 0.7, TopP = 0.9 });</code></example>
/// <remarks>
/// GenerationConfig in transformers/generation/configuration_utils.py. The value of an option is checked when the trace or the invoke is
/// opened: BAD_ARGUMENT names the option by its name in generation_config.json.
/// </remarks>
public sealed record GenerationOptions
{
    /// <summary>
    /// The largest number of new tokens of a row. Default 20. The max_length of generation_config.json is not applied, because it counts
    /// the prompt too, and the number of steps of a generation must be known before its prompt is tokens (<see cref="Trace.Iter"/>). A
    /// warning says so where neither the call nor the file sets max_new_tokens.
    /// generation_config: <c>max_new_tokens</c>.
    /// </summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>
    /// The smallest number of new tokens of a row: until then no token ends it. Default 0. generation_config: <c>min_new_tokens</c>.
    /// </summary>
    public int? MinNewTokens { get; init; }

    /// <summary>
    /// The smallest number of tokens of a row, prompt included: until then no token ends it. Default 0. It has no effect beside
    /// <see cref="MinNewTokens"/>. generation_config: <c>min_length</c>.
    /// </summary>
    public int? MinLength { get; init; }

    /// <summary>
    /// True draws each token at random; false chooses the most likely one. Default false, but true if an option is set that has an effect
    /// only on sampling: <see cref="Temperature"/>, <see cref="TopK"/>, <see cref="TopP"/>, <see cref="MinP"/>, <see cref="TypicalP"/>,
    /// <see cref="EpsilonCutoff"/>, <see cref="EtaCutoff"/> or <see cref="TopH"/>. generation_config: <c>do_sample</c>.
    /// </summary>
    public bool? DoSample { get; init; }

    /// <summary>
    /// Divides the logits: a value below 1 makes likely tokens more likely, a value above 1 less. Above 0; default 1.
    /// generation_config: <c>temperature</c>.
    /// </summary>
    public double? Temperature { get; init; }

    /// <summary>Draws from this many of the most likely tokens; 0 draws from all. Default 50. generation_config: <c>top_k</c>.</summary>
    public int? TopK { get; init; }

    /// <summary>
    /// Draws from the smallest set of most likely tokens whose probabilities sum to this value, which has at least one token. From 0 to 1;
    /// default 1. generation_config: <c>top_p</c>.
    /// </summary>
    /// <remarks>Nucleus sampling; Holtzman et al. 2019 (arXiv 1904.09751)</remarks>
    public double? TopP { get; init; }

    /// <summary>
    /// Draws from the tokens whose probability is at least this fraction of the most likely token's. From 0 to 1; default 0.
    /// generation_config: <c>min_p</c>.
    /// </summary>
    /// <remarks>Nguyen et al. 2024 (arXiv 2407.01082)</remarks>
    public double? MinP { get; init; }

    /// <summary>
    /// Draws from the tokens whose information content is closest to the expected one, until their probabilities sum to this value.
    /// Above 0 and at most 1; default 1. generation_config: <c>typical_p</c>.
    /// </summary>
    /// <remarks>Locally typical sampling; Meister et al. 2022 (arXiv 2202.00666)</remarks>
    public double? TypicalP { get; init; }

    /// <summary>
    /// Draws from the tokens whose probability is at least this value. At least 0 and below 1; default 0. generation_config:
    /// <c>epsilon_cutoff</c>.
    /// </summary>
    /// <remarks>Hewitt et al. 2022 (arXiv 2210.15191)</remarks>
    public double? EpsilonCutoff { get; init; }

    /// <summary>
    /// Draws from the tokens whose probability is at least the smaller of this value and its square root times e^-entropy. At least 0 and
    /// below 1; default 0. generation_config: <c>eta_cutoff</c>.
    /// </summary>
    /// <remarks>Hewitt et al. 2022 (arXiv 2210.15191)</remarks>
    public double? EtaCutoff { get; init; }

    /// <summary>
    /// Draws from the most likely of the 100 most likely tokens, as long as their share of the entropy is at most this value. Above 0 and
    /// at most 1; default: from all. generation_config: <c>top_h</c>.
    /// </summary>
    /// <remarks>Potraghloo et al. 2025 (arXiv 2509.02510)</remarks>
    public double? TopH { get; init; }

    /// <summary>
    /// Makes tokens that a row already contains less likely (above 1) or more likely (below 1). Above 0; default 1.
    /// generation_config: <c>repetition_penalty</c>.
    /// </summary>
    /// <remarks>Keskar et al. 2019, section 4.1 (arXiv 1909.05858)</remarks>
    public double? RepetitionPenalty { get; init; }

    /// <summary>
    /// No sequence of this many tokens occurs twice in a row. Default 0: no restriction. generation_config: <c>no_repeat_ngram_size</c>.
    /// </summary>
    public int? NoRepeatNgramSize { get; init; }

    /// <summary>
    /// The repetition penalty of the tokens of the prompt, inverted: more likely (above 1) or less likely (below 1). Above 0; default 1.
    /// generation_config: <c>encoder_repetition_penalty</c>.
    /// </summary>
    public double? EncoderRepetitionPenalty { get; init; }

    /// <summary>
    /// No sequence of this many tokens of the prompt occurs again. Default 0: no restriction. generation_config:
    /// <c>encoder_no_repeat_ngram_size</c>.
    /// </summary>
    public int? EncoderNoRepeatNgramSize { get; init; }

    /// <summary>Tokens that are never chosen. An empty list: none. generation_config: <c>suppress_tokens</c>.</summary>
    public IReadOnlyList<int>? SuppressTokens { get; init; }

    /// <summary>
    /// Tokens that are not chosen as the first new token (after a <see cref="ForcedBosTokenId"/>, as the second one). An empty list: none.
    /// generation_config: <c>begin_suppress_tokens</c>.
    /// </summary>
    public IReadOnlyList<int>? BeginSuppressTokens { get; init; }

    /// <summary>
    /// Sequences of tokens that are never completed. One that consists of an end-of-sequence token alone has no effect. An empty list:
    /// none. generation_config: <c>bad_words_ids</c>.
    /// </summary>
    public IReadOnlyList<IReadOnlyList<int>>? BadWordsIds { get; init; }

    /// <summary>
    /// Adds a bias to the score of the last token of a sequence where the row ends in the tokens before it, for each sequence. An empty
    /// list: none. generation_config: <c>sequence_bias</c>.
    /// </summary>
    /// <example><code>new() { SequenceBias = [([464], -2), ([464, 4174], 1.5)] }</code></example>
    public IReadOnlyList<(IReadOnlyList<int> Tokens, double Bias)>? SequenceBias { get; init; }

    /// <summary>
    /// The first new token of a row whose prompt is a single token. Default none. generation_config: <c>forced_bos_token_id</c>.
    /// </summary>
    public int? ForcedBosTokenId { get; init; }

    /// <summary>
    /// The last token of a row that reaches <see cref="MaxNewTokens"/> is one of these. All have the same score, so the lowest id is chosen
    /// where no token is drawn. An empty list: none. generation_config: <c>forced_eos_token_id</c>.
    /// </summary>
    public IReadOnlyList<int>? ForcedEosTokenIds { get; init; }

    /// <summary>
    /// Makes the end of a row likelier after a number of new tokens: n tokens later, the score s of an end-of-sequence token is
    /// s + |s| * (factor^n - 1). Default none; a factor of 1 is none. generation_config: <c>exponential_decay_length_penalty</c>.
    /// </summary>
    public (int StartIndex, double DecayFactor)? ExponentialDecayLengthPenalty { get; init; }

    /// <summary>
    /// True replaces scores that are not numbers by 0 and infinite ones by the largest number, in place of an error. Default false.
    /// generation_config: <c>remove_invalid_values</c>.
    /// </summary>
    public bool? RemoveInvalidValues { get; init; }

    /// <summary>
    /// True makes the scores logarithms of probabilities again after all other options, which matters to a beam search. Default false.
    /// generation_config: <c>renormalize_logits</c>.
    /// </summary>
    public bool? RenormalizeLogits { get; init; }

    /// <summary>
    /// False ignores the options of the model's generation_config.json, except for the ids of its special tokens. Default true. Only for a
    /// whole trace. generation_config has no such option; it was an argument of Hugging Face's <c>generate</c>.
    /// </summary>
    public bool? UseModelDefaults { get; init; }

    /// <summary>
    /// The seed of sampling: the same seed draws the same tokens, locally and remotely. Row i of a trace draws with seed + i, so that its
    /// tokens do not depend on the other rows; the rows of an invoke with a seed of its own draw as in a trace of that invoke alone.
    /// Default: a random seed. generation_config has no such option; in PyTorch it is <c>torch.manual_seed</c>.
    /// </summary>
    public long? Seed { get; init; }

    /// <summary>
    /// Texts that end a row as soon as it contains one of them; the text stays in the result. At most 64 texts of 1 to 256 characters.
    /// Default: those of the model's file; an empty list is none. generation_config: <c>stop_strings</c>.
    /// </summary>
    public IReadOnlyList<string>? StopStrings { get; init; }

    /// <summary>
    /// Tokens that end a row. Default: those of the model's files; an empty list is none. generation_config: <c>eos_token_id</c>.
    /// </summary>
    public IReadOnlyList<int>? EosTokenIds { get; init; }

    /// <summary>
    /// True continues each row to <see cref="MaxNewTokens"/> even after an end-of-sequence token. Default false. generation_config has no
    /// such option; in vLLM's SamplingParams it is <c>ignore_eos</c>.
    /// </summary>
    public bool? IgnoreEos { get; init; }

    /// <summary>
    /// The number of beams, 1 to 64. Above 1 the generation is a beam search: each row of the input becomes this many adjacent rows of the
    /// batch, and sites show [batch * beams, ...]. The assignment of beams to rows changes from step to step; <see cref="Trace.Result"/>
    /// contains only the best sequences. Default 1. Only for a whole trace. generation_config: <c>num_beams</c>.
    /// </summary>
    public int? NumBeams { get; init; }

    /// <summary>
    /// The exponent of the length by which the score of a finished beam is divided: a value above 0 favors long sequences. Default 1. Only
    /// for a whole trace. generation_config: <c>length_penalty</c>.
    /// </summary>
    public double? LengthPenalty { get; init; }

    /// <summary>
    /// When a beam search ends. Default <see cref="Protocol.EarlyStopping.Heuristic"/>. Only for a whole trace. generation_config:
    /// <c>early_stopping</c>, where true is <see cref="Protocol.EarlyStopping.WhenFull"/> and false <see
    /// cref="Protocol.EarlyStopping.Heuristic"/>.
    /// </summary>
    public EarlyStopping? EarlyStopping { get; init; }

    /// <summary>
    /// The number of sequences that come back for each row of the input: draws, for which the row occurs this many times in the batch, or
    /// the best beams. 1 to 256; default 1. Only for a whole trace. generation_config: <c>num_return_sequences</c>.
    /// </summary>
    public int? NumReturnSequences { get; init; }

    /// <summary>
    /// Whether each new token is an event of the run. Setting <see cref="Trace.OnToken"/> asks for it too. Default false. Only for a whole
    /// trace, and not with a beam search. generation_config has no such option; it is the <c>streamer</c> argument of Hugging Face's
    /// <c>generate</c>.
    /// </summary>
    public bool? Stream { get; init; }

    /// <summary>The options as a program carries them: an option that is null is left out.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A count is negative.</exception>
    internal Generation ToProto()
    {
        var proto = new Generation();
        if (RequireNonNegative(MaxNewTokens) is { } maxNewTokens) proto.MaxNewTokens = maxNewTokens;
        if (RequireNonNegative(MinNewTokens) is { } minNewTokens) proto.MinNewTokens = minNewTokens;
        if (DoSample is { } sample) proto.Sample = sample;
        if (Temperature is { } temperature) proto.Temperature = temperature;
        if (RequireNonNegative(TopK) is { } topK) proto.TopK = topK;
        if (TopP is { } topP) proto.TopP = topP;
        if (MinP is { } minP) proto.MinP = minP;
        if (TypicalP is { } typicalP) proto.TypicalP = typicalP;
        if (RepetitionPenalty is { } repetitionPenalty) proto.RepetitionPenalty = repetitionPenalty;
        if (RequireNonNegative(NoRepeatNgramSize) is { } ngramSize) proto.NoRepeatNgram = ngramSize;
        if (Seed is { } seed) proto.Seed = unchecked((ulong)seed);
        // a program cannot tell an empty list of these two from none
        if (StopStrings is { Count: 0 }) proto.NoStop = true;
        else if (StopStrings is { } stops) proto.Stop.AddRange(stops);
        if (EosTokenIds is { } ids) proto.Eos.AddRange(ids.Select(id => (long)id));
        if (EosTokenIds is { Count: 0 }) proto.IgnoreEos = true;
        else if (IgnoreEos is { } ignoreEos) proto.IgnoreEos = ignoreEos;
        if (RequireNonNegative(NumBeams) is { } beams) proto.Beams = beams;
        if (LengthPenalty is { } lengthPenalty) proto.LengthPenalty = lengthPenalty;
        if (EarlyStopping is { } earlyStopping) proto.EarlyStopping = earlyStopping;
        if (RequireNonNegative(NumReturnSequences) is { } sequences) proto.ReturnSequences = sequences;
        if (Stream is { } stream) proto.Stream = stream;
        AddTokenRules(proto);
        return proto;
    }

    /// <summary>Adds the options from <c>suppress_tokens</c> on, in the order of generation.proto.</summary>
    private void AddTokenRules(Generation proto)
    {
        if (SuppressTokens is { } suppressed) proto.SuppressTokens = ToRow(suppressed);
        if (BeginSuppressTokens is { } begin) proto.BeginSuppressTokens = ToRow(begin);
        if (BadWordsIds is { } words) proto.BadWords = new TokenRows { Rows = { words.Select(ToRow) } };
        if (ForcedBosTokenId is { } first) proto.ForcedBos = first;
        if (ForcedEosTokenIds is { } last) proto.ForcedEos = ToRow(last);
        if (RequireNonNegative(MinLength) is { } minLength) proto.MinLength = minLength;
        if (EncoderRepetitionPenalty is { } promptPenalty) proto.EncoderRepetitionPenalty = promptPenalty;
        if (RequireNonNegative(EncoderNoRepeatNgramSize) is { } promptNgram) proto.EncoderNoRepeatNgram = promptNgram;
        if (SequenceBias is { } sequences)
            proto.SequenceBias = new SequenceBiases
            {
                Biases = { sequences.Select(s => new Protocol.SequenceBias { Ids = { ToRow(s.Tokens).Ids }, Bias = s.Bias }) },
            };
        if (ExponentialDecayLengthPenalty is (int start, double factor))
            proto.ExponentialDecay =
                new ExponentialDecay { Start = RequireNonNegative(start, nameof(ExponentialDecayLengthPenalty))!.Value, Factor = factor };
        if (RemoveInvalidValues is { } remove) proto.RemoveInvalidValues = remove;
        if (RenormalizeLogits is { } renormalize) proto.RenormalizeLogits = renormalize;
        if (EpsilonCutoff is { } epsilon) proto.EpsilonCutoff = epsilon;
        if (EtaCutoff is { } eta) proto.EtaCutoff = eta;
        if (TopH is { } topH) proto.TopH = topH;
        if (UseModelDefaults is { } use) proto.UseModelDefaults = use;
    }

    private static TokenRow ToRow(IReadOnlyList<int> ids) => new() { Ids = { ids.Select(id => (long)id) } };

    private static uint? RequireNonNegative(int? count, [CallerArgumentExpression(nameof(count))] string name = "") =>
        count is null ? null : count >= 0 ? (uint)count
            : throw new ArgumentOutOfRangeException(name, count, "The value cannot be negative.");
}
