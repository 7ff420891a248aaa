namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Python's sorted(), which keeps the order of equal items, also in reverse.</summary>
internal static class StableSort
{
    public static List<T> Sort<T>(List<T> items, Func<T, object?> key, bool reverse)
    {
        List<(T Item, object? Key)> keyed = [.. items.Select(item => (item, key(item)))];
        Comparer<object?> comparer = Comparer<object?>.Create((x, y) => reverse ? TemplateValues.Order(y, x) : TemplateValues.Order(x, y));
        try
        {
            return [.. keyed.OrderBy(pair => pair.Key, comparer).Select(pair => pair.Item)];
        }
        catch (InvalidOperationException e) when (e.InnerException is ChatTemplateException inner)
        {
            throw inner;
        }
    }
}
