<?php
/**
 * Plugin Name: No internet
 * Description: Keeps WordPress and the browser from asking hosts that a loopback example cannot reach.
 */

// Emoji pictures and their script come from s.w.org.
remove_action( 'wp_head', 'print_emoji_detection_script', 7 );
remove_action( 'admin_print_scripts', 'print_emoji_detection_script' );
add_filter( 'emoji_svg_url', '__return_false' );

// The editor's pattern directory and the dashboard's news.
add_filter( 'should_load_remote_block_patterns', '__return_false' );
add_action(
	'wp_dashboard_setup',
	function () {
		remove_meta_box( 'dashboard_primary', 'dashboard', 'side' );
	}
);

// Nobody gets mail from an example.
add_filter( 'pre_wp_mail', '__return_false' );
