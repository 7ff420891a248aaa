namespace Ndif.Tokenizers.Chat;

/// <summary>A tuple: a list that is printed in parentheses.</summary>
internal sealed class TupleValue(IEnumerable<object?> items) : List<object?>(items);
