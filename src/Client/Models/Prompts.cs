using Ndif.Protocol;

namespace Ndif;

/// <summary>What a language model's trace accepts as its input, and how it enters the program.</summary>
internal static class Prompts
{
    public static void Prepare(object prompt, Input into, Func<object?, Argument> argument)
    {
        switch (prompt)
        {
            case string text: into.Prompts.Add(text); break;
            case IEnumerable<string> texts: into.Prompts.AddRange(texts); break;
            case int[] ids: into.Tokens.Add(Row(ids.Select(i => (long)i))); break;
            case long[] ids: into.Tokens.Add(Row(ids)); break;
            case IEnumerable<int> ids: into.Tokens.Add(Row(ids.Select(i => (long)i))); break;
            case IEnumerable<int[]> rows: into.Tokens.AddRange(rows.Select(r => Row(r.Select(i => (long)i)))); break;
            case IEnumerable<long[]> rows: into.Tokens.AddRange(rows.Select(Row)); break;
            case TensorData tensor: into.Ids = argument(tensor); break;
            case Value value: into.Ids = argument(value); break;
            case TokenInput tokens:
                into.Ids = argument(tokens.InputIds);
                if (tokens.AttentionMask is { } mask) into.AttentionMask = argument(mask);
                break;
            default:
                throw new ArgumentException(
                    $"A language model's prompt is a text, several texts, token ids, a tensor of ids or a TokenInput; not {prompt.GetType().Name}.");
        }
        if (into.Prompts.Count == 0 && into.Ids is null && into.Tokens.All(r => r.Ids.Count == 0) || into.Prompts.Any(string.IsNullOrEmpty))
            throw Errors.Throwable(ErrorCode.BadInput, "The input has no tokens.", "Pass a prompt that is not empty, or at least one token id.");
    }

    private static TokenRow Row(IEnumerable<long> ids) => new() { Ids = { ids } };
}

/// <summary>Token ids with a mask, as a tokenizer gives them: both [rows, tokens].</summary>
/// <param name="AttentionMask">0 where a token is padding.</param>
public sealed record TokenInput(TensorData InputIds, TensorData? AttentionMask = null);
