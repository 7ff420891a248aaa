using Ndif.Protocol;

namespace Ndif.Models.Architectures;

/// <summary>
/// Counts the modules of a tree while it is built: a small config must not make millions, also by the defaults of its architecture.
/// </summary>
internal static class ModuleLimit
{
    /// <summary>The largest models known have some 25,000 with their experts.</summary>
    public const int MaxModules = 1 << 17;

    [ThreadStatic]
    private static int? _left;

    /// <summary>Runs the constructor of a tree.</summary>
    /// <exception cref="CheckpointException">BAD_CHECKPOINT: more than <see cref="MaxModules"/> modules.</exception>
    public static T Build<T>(Func<T> create)
    {
        _left = MaxModules;
        try
        {
            return create();
        }
        finally
        {
            _left = null;
        }
    }

    /// <summary>Counts a module, if a tree is built on this thread.</summary>
    public static void Add()
    {
        if (_left is not { } left) return;
        if (left == 0)
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"config.json makes more than {MaxModules} modules.",
                "The number of its layers or experts is wrong.");
        _left = left - 1;
    }
}
